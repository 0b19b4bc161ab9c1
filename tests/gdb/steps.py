# SPDX-License-Identifier: MIT
"""Steps through steps.c and tells the lines of main that it came by: $command, from line $first on, until stop_here."""
import gdb

command, first = gdb.convenience_variable("command").string(), int(gdb.convenience_variable("first"))
gdb.execute("set pagination off")
gdb.execute("break %d" % first, to_string=True)
gdb.execute("break stop_here", to_string=True)
gdb.execute("run", to_string=True)
lines = []
for _ in range(int(gdb.convenience_variable("most"))):
    frame = gdb.selected_frame()
    if frame.name() == "stop_here":
        break
    if frame.name() == "main" and lines[-1:] != [str(frame.find_sal().line)]:
        lines.append(str(frame.find_sal().line))
    gdb.execute(command, to_string=True)
print("came by", " ".join(lines))
gdb.execute("delete")
gdb.execute("continue")
