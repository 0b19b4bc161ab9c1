# SPDX-License-Identifier: MIT
# Completion of percpu(1) for bash: commands, their options, and what is published now.
# shellcheck shell=bash

_percpu()
{
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]} words=
	if [ "$COMP_CWORD" = 1 ]; then
		words="list show top export topo selftest --help --version"
	elif [ "$before" = --by ]; then
		words="cpu core l3 node package"
	elif [ "$before" = --sort ]; then
		words="name value rate skew"
	elif [ "$before" = --listen ] || [ "$before" = --interval ] || [ "$before" = --host ]; then
		return
	elif [[ $word == -* ]]; then
		case $command in
		list | topo) words="--json" ;;
		show) words="--by --json" ;;
		top) words="--interval --sort" ;;
		export) words="--by --listen --host" ;;
		esac
	elif [ "$command" != topo ] && [ "$command" != selftest ]; then
		words=$(percpu list 2>/dev/null | awk 'NR > 1 { print $1; if (NF == 6) print $6 }')
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -F _percpu percpu
