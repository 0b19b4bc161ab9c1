# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# Debian packages as files: fetched by this machine's own apt from its own sources, and unpacked
# below the build tree. Nothing is installed, and apt's own state stays as it is: each set of suites
# and architecture has a state of its own in $cache/apt.
#
# A function that fails sets $why to one line, the reason of the skipped test.

: "${cache:?a folder of the build tree}"
: "${why:=}"

release=
sources=
find_release()
{
	if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
		why="no apt-get and dpkg-deb: packages come from Debian"
		return 1
	fi
	release=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
	# SITE and SIGNED_BY of the source of the release itself; other suites are beside it.
	# shellcheck disable=SC2016
	sources=$(apt-get indextargets --format '$(SITE) $(RELEASE) $(SIGNED_BY)' 'Created-By: Packages' |
		awk -v release="$release" '$2 == release { print $1, ($3 ~ /^[/]/ ? $3 : ""); exit }')
	case $(sed -n 's/^ID=//p' /etc/os-release) in
	debian) ;;
	*) sources= ;;
	esac
	[ -n "$sources" ] || {
		why="no source of Debian packages in apt's configuration"
		return 1
	}
}

state_of()
{
	echo "$cache/apt/$(echo "$1" | tr ' ' +)-$2"
}

# get_lists "SUITE..." ARCHITECTURE: fetches the package lists of these suites.
get_lists()
{
	apt_state=$(state_of "$1" "$2")
	[ ! -f "$apt_state/lists-are-here" ] || return 0
	mkdir -p "$apt_state/lists/partial" "$apt_state/archives/partial" || return
	: >"$apt_state/none"
	keys=${sources#* }
	[ -n "$keys" ] || keys=/usr/share/keyrings/debian-archive-keyring.gpg
	for a_suite in $1; do
		echo "deb [signed-by=$keys] ${sources%% *} $a_suite main"
	done >"$apt_state/sources.list"
	cat >"$apt_state/apt.conf" <<-END
		Dir::State "$apt_state";
		Dir::Cache "$apt_state";
		Dir::Etc::sourcelist "$apt_state/sources.list";
		Dir::Etc::sourceparts "/dev/null";
		Dir::Etc::preferences "$apt_state/none";
		Dir::Etc::preferencesparts "/dev/null";
		Dir::State::status "$([ "$2" = "$(dpkg --print-architecture)" ] && echo /var/lib/dpkg/status ||
			echo "$apt_state/none")";
		APT::Architecture "$2";
		#clear APT::Architectures;
		APT::Architectures { "$2"; };
		APT::Sandbox::User "root";
		APT::Default-Release "";
		Acquire::Languages "none";
		Acquire::Retries "3";
		Debug::NoLocking "true";
		#clear APT::Update::Post-Invoke;
		#clear APT::Update::Post-Invoke-Success;
		#clear DPkg::Post-Invoke;
		#clear DPkg::Pre-Install-Pkgs;
	END
	if ! apt-get -c "$apt_state/apt.conf" -qq update >"$apt_state/update.log" 2>&1 ||
		grep -q '^[EW]:' "$apt_state/update.log"; then
		why="no package lists of $1 for $2: $(grep '^[EW]:' "$apt_state/update.log" | head -n 1)"
		return 1
	fi
	: >"$apt_state/lists-are-here"
}

# apt_in "SUITE..." ARCHITECTURE COMMAND...: apt-get or apt-cache over those lists.
apt_in()
{
	apt_conf=$(state_of "$1" "$2")/apt.conf
	apt_tool=$3
	shift 3
	"$apt_tool" -c "$apt_conf" "$@"
}

download()
(
	cd "$cache/incoming" &&
		apt_in "$from_suites" "$for_arch" apt-get -q -t "${from_suites##* }" download "$package" >"$cache/fetch.log" 2>&1
)

# fetch "SUITE..." ARCHITECTURE DIRECTORY PACKAGE...: unpacks packages into the directory, once, in
# the version of the last suite. Lists that are older than the archive are fetched anew.
fetch()
{
	from_suites=$1
	for_arch=$2
	into=$3
	shift 3
	for package in "$@"; do
		[ ! -f "$into/.has/$package" ] || continue
		rm -rf "$cache/incoming"
		mkdir -p "$cache/incoming" "$into/.has" && get_lists "$from_suites" "$for_arch" || return
		if ! download; then
			rm "$(state_of "$from_suites" "$for_arch")/lists-are-here"
			get_lists "$from_suites" "$for_arch" || return
			if ! download; then
				why="no package $package of $from_suites for $for_arch: $(grep '^[EW]:' "$cache/fetch.log" | head -n 1)"
				return 1
			fi
		fi
		dpkg-deb --fsys-tarfile "$cache/incoming/"*.deb | tar -x -C "$into" --no-same-owner || return
		: >"$into/.has/$package"
	done
	rm -rf "$cache/incoming"
}

# missing_with "SUITE..." PACKAGE...: prints these packages, and their dependencies that this
# machine lacks, in the versions of the last suite.
missing_with()
{
	from_suites=$1
	shift
	apt_in "$from_suites" "$(dpkg --print-architecture)" apt-get -s -q --no-install-recommends -t "${from_suites##* }" \
		install --reinstall "$@" 2>/dev/null | awk '/^Inst / && $2 !~ /^qemu-user/ { print $2 }'
}

# first_dependency "SUITE..." ARCHITECTURE PACKAGE PATTERN
first_dependency()
{
	apt_in "$1" "$2" apt-cache depends "$3" |
		awk -v pattern="$4" '$1 == "Depends:" && $2 ~ pattern { print $2; exit }'
}
