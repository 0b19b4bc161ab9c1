#!/bin/sh
# SPDX-License-Identifier: MIT
# The tarball has every file of the repository.
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"

if [ ! -e "$top_srcdir/.git" ] || ! command -v git >/dev/null; then
	skip "the tarball is complete" "no repository to compare with"
elif ! git -c safe.directory='*' -C "$top_srcdir" ls-files >"$tap_dir/files" 2>/dev/null; then
	skip "the tarball is complete" "git does not list the files"
else
	if make -s -C "$top_builddir" distdir distdir="$tap_dir/dist" am__remove_distdir=: >"$tap_dir/make.log" 2>&1; then
		report "the tarball is complete" "$(grep -vE '(^|/)\.(gitignore|gitattributes|shellcheckrc)$' "$tap_dir/files" |
			while read -r file; do
			[ -e "$tap_dir/dist/$file" ] || [ ! -e "$top_srcdir/$file" ] || echo "not in the tarball: $file"
		done)"
		report "the tarball's programs can be run" "$(for file in bootstrap quickstart .ci/run; do
			[ -x "$tap_dir/dist/$file" ] || echo "not executable: $file"
		done)"
	else
		report "the tarball is complete" "$(tail -n 20 "$tap_dir/make.log")"
	fi
	chmod -R u+w "$tap_dir/dist"
fi
finish
