"""Makes Nova's cells what the arguments say.

cells.py CELL CELL0-DATABASE CELL0-QUEUE DATABASE QUEUE

nova-manage is loaded once, and each of its commands runs in a child: its options
can be parsed only once in a process.
"""
import os
import sys

from nova.cmd import manage

OUTPUT = 1


def nova_manage(*argv, output=OUTPUT):
    """Runs a command of nova-manage; ends the program when that fails."""
    pid = os.fork()
    if pid == 0:
        os.dup2(output, OUTPUT)
        sys.argv = ["nova-manage", *argv]
        code = 1
        try:
            code = manage.main() or 0
        finally:
            sys.stdout.flush()
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code != 0:
        sys.exit(f"nova-manage {argv[0]} {argv[1]} ended with status {code}")


def cells():
    """Returns the number of each cell by its name."""
    source, sink = os.pipe()
    nova_manage("cell_v2", "list_cells", output=sink)
    os.close(sink)
    with os.fdopen(source) as table:
        rows = [[cell.strip() for cell in line.split("|")] for line in table]
    return {row[1]: row[2] for row in rows if len(row) > 2}


name, *urls = sys.argv[1:]
known = cells()
for cell, (database, queue) in {"cell0": urls[:2], name: urls[2:]}.items():
    where = ("--database_connection", database, "--transport-url", queue)
    if cell in known:
        nova_manage("cell_v2", "update_cell", "--cell_uuid", known[cell], "--name", cell, *where)
    elif cell == "cell0":
        nova_manage("cell_v2", "map_cell0", *where[:2])
    else:
        nova_manage("cell_v2", "create_cell", "--name", cell, *where)
