# SPDX-License-Identifier: MIT
# Copies a document and puts the source it quotes into it, fresh. A quote is announced by a line
#
#	<!-- quote: PATH [NAME] -->
#
# in a .md, and by "This is PATH:" elsewhere. Without NAME it is the whole file, less its SPDX line. NAME is a
# function, a struct or a macro, or what stands between the source's lines [doc:NAME] and [doc:end].
# In a .md the quote is the fenced block that follows; elsewhere it is the lines that follow, up to the
# first that is neither empty nor indented. Run with -v root=TOP; what cannot be found
# goes to stderr, and stays as it is.

function fail(what)
{
	print FILENAME ":" FNR ": " what >"/dev/stderr"
	status = 1
}

# The lines of the source that NAME means, indentation in common removed, joined by newlines.
function fetch(path, name,    line, text, on, n, kind, lead, first)
{
	n = 0
	on = name == ""
	while ((getline line <(root "/" path)) > 0) {
		if (name == "" && line ~ /SPDX-License-Identifier/)
			continue
		if (!on && index(line, "[doc:" name "]")) {
			on = 1; kind = "mark"
			continue
		}
		if (on && kind == "mark" && index(line, "[doc:end]"))
			break
		if (!on && name != "" && line ~ "^[a-zA-Z].*[ *]" name "[(]" && line !~ /;$/) {
			on = 1; kind = "body"
		}
		if (!on && name != "" && line ~ "^(struct|enum|union) " name " ?[{]") {
			on = 1; kind = "body"
		}
		if (!on && name != "" && line ~ "^#define " name "[ (]") {
			on = 1; kind = "macro"
		}
		if (!on || line ~ /\[doc:[a-z_]+\]/)
			continue
		if (n == 0) {
			match(line, /^\t*/)
			lead = RLENGTH
		}
		first = line
		if (substr(line, 1, lead) ~ /^\t*$/)
			line = substr(line, lead + 1)
		text = text (n++ ? "\n" : "") line
		if (kind == "body" && first ~ /^}/)
			break
		if (kind == "macro" && first !~ /\\$/)
			break
	}
	close(root "/" path)
	sub(/\n+$/, "", text)
	if (n == 0)
		fail("nothing to quote: " path " " name)
	return text
}

BEGIN { markdown = 0; skipping = ""; status = 0 }

FNR == 1 { markdown = FILENAME ~ /\.md$/ }

skipping == "fence" {
	if ($0 ~ /^```/) { print; skipping = "" }
	next
}

skipping == "indent" {
	if ($0 == "" || $0 ~ /^[ \t]/) { blanks = $0 == "" ? blanks + 1 : 0; next }
	print ""
	skipping = ""
}

(markdown && /^<!-- quote: [^ ]+( [^ ]+)? -->$/) || (!markdown && /^This is [^ ]+:$/) {
	print
	line = $0
	gsub(/^<!-- quote: | -->$|^This is |:$/, "", line)
	split(line, words, " ")
	text = fetch(words[1], words[2])
	if (text == "")
		next
	if (markdown) {
		if ((getline following) > 0 && following ~ /^```/) {
			print following
			print text
			skipping = "fence"
		} else
			fail("no fenced block after a quote")
	} else {
		gsub(/\n/, "\n    ", text)
		gsub(/\n +\n/, "\n\n", text)
		gsub(/\n +\n/, "\n\n", text)
		print ""
		print "    " text
		skipping = "indent"
	}
	next
}

{ print }

END { exit status }
