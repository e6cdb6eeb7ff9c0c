"""Lists the settings that a service of OpenStack knows, with their types.

oslo-options.py DISTRIBUTION... — run in a container image of the release, with
the Python distributions that have settings of the service (nova os-vif). Those of
the libraries that services share are added, as far as the image has them. The output is a file options.txt
of a service in internal/openstack: a line "[SECTION]", and below it a line
"NAME TYPE" for each setting. Types are bool, int, float (each with :LEAST..MOST
where they are bounded), choice:A|B, and text for all that take any text.
"""
import importlib.metadata
import logging
import sys

from oslo_config import cfg, generator, types

SHARED = """castellan keystonemiddleware osprofiler oslo.cache oslo.concurrency oslo.db oslo.limit
oslo.log oslo.messaging oslo.middleware oslo.policy oslo.privsep oslo.reports oslo.service
oslo.versionedobjects""".split()


def bounds(kind, t):
    least, most = ("" if b is None or b == sys.maxsize else str(b) for b in (t.min, t.max))
    return f"{kind}:{least}..{most}" if least or most else kind


def name_of(t):
    """The type of one value, and whether a setting holds many of them."""
    if isinstance(t, types.Boolean):
        return "bool"
    if isinstance(t, types.Float):
        return bounds("float", t)
    if isinstance(t, types.Integer):  # Port is one
        return "text" if t.choices else bounds("int", t)
    if type(t) is types.String and t.choices and not t.regex:
        choices = [c for c in t.choices if c is not None]
        blank = any(c == "" or "|" in c or c.split() != [c] for c in choices)
        return "text" if blank or t.ignore_case else "choice:" + "|".join(choices)
    return "text"


def main(distributions):
    logging.disable(logging.CRITICAL)
    namespaces = []
    have = {d.name for d in importlib.metadata.distributions()}
    for d in distributions + [s for s in SHARED if s in have]:
        for e in importlib.metadata.distribution(d).entry_points:
            if e.group == "oslo.config.opts" and "tests." not in e.value:
                namespaces.append(e.name)
    known = {}
    for _, groups in generator._list_opts(sorted(set(namespaces))):
        for group, opts in groups:
            section = getattr(group, "name", group) or "DEFAULT"
            for opt in opts:
                kind = "text" if opt.multi or isinstance(opt, cfg.SubCommandOpt) else name_of(opt.type)
                names = [(section, opt.dest)] + [(o.group or section, o.name) for o in opt.deprecated_opts]
                for s, n in names:
                    if n is None:
                        n = opt.dest
                    known.setdefault(s, {}).setdefault(n.replace("-", "_"), kind)
    for section in sorted(known):
        print(f"[{section}]")
        for n in sorted(known[section]):
            print(n, known[section][n])


main(sys.argv[1:])
