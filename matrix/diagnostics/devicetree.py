"""What dtc, fdtoverlay, dt-schema and yamllint print of device trees and their bindings.

    Error: /src/arch/arm64/boot/dts/a.dts:387.1-13 Label or path gpu not found
    FATAL ERROR: Syntax error parsing input tree                        follows from the error above
    a.dts:30.16-33.4: ERROR (duplicate_label): /soc: Duplicate label 'i2c0' on /soc/a and /soc/b
      also defined at a.dtsi:12.3-5
    arch/arm64/boot/dts/a.dtb: Warning (pci_device_bus_num): Failed prerequisite 'reg_format'
    arch/arm64/boot/dts/a.dtb: extcon@14: 'connector' does not match any of the regexes: 'pinctrl-[0-9]+'
        from schema $id: http://devicetree.org/schemas/extcon/siliconmitus,sm5502-muic.yaml#
    Documentation/devicetree/bindings/a.yaml:4:7: [warning] too many spaces after colon (colons)

A node's path is a symbol: it distinguishes two problems of one check.
"""

import re

from matrix.diagnostics.diagnostic import find_quoted_identifiers
from matrix.diagnostics.drafts import DiagnosticDraft
from matrix.diagnostics.message_forms import MessageForm, read_forms
from matrix.diagnostics.parser_state import ParserState

_STEPS = ("DTC", "DTCO", "OVL", "DTB", "FDT")
_SPAN = r"(?P<line>[0-9]{1,9})\.(?P<column>[0-9]{1,9})(?:-[0-9]{1,9}(?:\.[0-9]{1,9})?)?"
_SOURCE = rf"(?:(?P<file>[^\s:]+):{_SPAN}|(?P<object>[^\s:]+\.dtbo?)|<stdout>|<no-file>:<no-line>)"
_BLOB = r"(?P<object>[^\s:]+\.(?:dtbo?|dt\.yaml|dtb\.yaml))"
_BINDING = r"(?P<file>(?=[^\s:]*bindings/|\./)[^\s:]+\.ya?ml)"
_NODE = re.compile(r"(/[^\s:]*)(?::([^\s:]+))?: ")
_OLD_NODE = re.compile(r"(?:.* )?(?:Node|in) (/\S*)")
_SCHEMA_NODE = re.compile(r"([^\s:]+)(?: \([^()]*\))?: ")
_LISTED = re.compile(r"'([^']+)'")


def _name_node(_log: ParserState, _match: re.Match[str], draft: DiagnosticDraft) -> None:
    """Symbols of a check's message: its node, with its property, and what it quotes."""
    node = _NODE.match(draft.message)
    old = None if node else _OLD_NODE.match(draft.message)
    names = [":".join(filter(None, node.groups()))] if node else [old[1].rstrip(":,")] if old else []
    draft.symbols = tuple(dict.fromkeys([*names, *find_quoted_identifiers(draft.message)]))


def _name_compatible(_log: ParserState, match: re.Match[str], draft: DiagnosticDraft) -> None:
    """Symbols of a node that no schema describes: what it calls itself compatible with."""
    draft.symbols = tuple(dict.fromkeys(_LISTED.findall(match["compatible"])))


def _name_schema_node(_log: ParserState, _match: re.Match[str], draft: DiagnosticDraft) -> None:
    node = _SCHEMA_NODE.match(draft.message)
    names = [node[1]] if node else []
    draft.symbols = tuple(dict.fromkeys([*names, *find_quoted_identifiers(draft.message)]))


_TREE_FORMS = (
    MessageForm(
        re.compile(
            rf"(?:(?P<kind>Error|Warning|WARNING)|Lexical error): (?P<file>[^\s:]+):{_SPAN}:? "
            r"(?P<text>Label or path (?P<symbol>\S+) not found|.+)"
        ),
        tool="dtc",
    ),
    MessageForm(
        re.compile(rf"{_SOURCE}: (?P<kind>ERROR|Warning) \((?P<flag>\w+)\): (?P<text>.+)"),
        tool="dtc",
        follows="notes",
        hint="): ",
        complete=_name_node,
    ),
    MessageForm(
        re.compile(
            r"(?P<kind>ERROR|Warning) \((?P<flag>[a-z][a-z0-9_]+)\): (?P<text>.+)",
        ),
        tool="dtc",
        follows="notes",
        hint="): ",
        complete=_name_node,
    ),
    MessageForm(
        re.compile(rf"\s+(?P<text>also defined at (?P<file>[^\s:]+):{_SPAN})"),
        makes="note",
        hint="also defined at ",
    ),
    MessageForm(
        re.compile(r"FATAL ERROR: (?P<text>(?:Syntax error parsing|Unable to parse) input tree.*)"),
        tool="dtc",
        makes="consequence",
        hint=" input tree",
    ),
    MessageForm(
        re.compile(r"ERROR: (?P<text>Input tree has errors.*)"),
        tool="dtc",
        makes="consequence",
        hint="Input tree has errors",
    ),
    MessageForm(re.compile(r"Warning: Input tree has errors"), makes="nothing", hint="Input tree has errors"),
    MessageForm(
        re.compile(r"FATAL ERROR: (?P<text>(?:Couldn't open|Unrecognized check name|Error reading) .+)"),
        tool="dtc",
        hint="FATAL ERROR: ",
    ),
    MessageForm(re.compile(r"FATAL ERROR: (?P<text>.+)"), tool="dtc", step=_STEPS, hint="FATAL ERROR: "),
    MessageForm(
        re.compile(
            r"Failed to (?:apply '[^']*': FDT_ERR_\w+|make temporary copy: FDT_ERR_\w+)"
            r"|(?:Overlay '[^']*'|Base blob) is incomplete \(.+|Couldn't open blob from '[^']*': .+"
        ),
        tool="fdtoverlay",
        follows="notes",
    ),
    MessageForm(
        re.compile(r"Failed to (?:read|write) '[^']*\.dtbo?'$"),
        tool="fdtoverlay",
        makes="consequence",
        hint="Failed to ",
    ),
    MessageForm(re.compile(r".* with '-@' option"), makes="note", hint=" with '-@' option"),
)

_SCHEMA_FORMS = (
    MessageForm(
        re.compile(
            rf"{_BLOB}: (?P<text>.*failed to match any schema with compatible: "
            r"\[(?P<compatible>[^\[\]]*)\].*)"
        ),
        tool="dt-schema",
        severity="warning",
        hint="failed to match any schema",
        complete=_name_compatible,
    ),
    MessageForm(
        re.compile(rf"{_BLOB}:(?:[0-9]+:[0-9]+:)? (?P<text>[^\s:]+(?: \([^()]*\))?:(?:[^\s:]+:)* ?\S.+)"),
        tool="dt-schema",
        severity="warning",
        follows="notes",
        hint=": ",
        complete=_name_schema_node,
    ),
    MessageForm(
        re.compile(
            rf"{_BINDING}:(?P<line>[0-9]{{1,9}}):(?P<column>[0-9]{{1,9}}): \[(?P<kind>error|warning)\] "
            r"(?P<text>.+?)(?: \((?P<flag>[a-z-]+)\))?$"
        ),
        tool="yamllint",
        hint="ml:",
    ),
    MessageForm(
        re.compile(
            rf"{_BINDING}: (?P<text>(?:ignoring, error |Error in referenced schema matching |Unable to find "
            r"schema|[^\s:]+: \S|[^\s:]+:[^\s:]+: \S|'[^']*' is a required property|missing ).*)"
        ),
        tool="dt-schema",
        severity="warning",
        follows="notes",
        hint="ml: ",
    ),
    MessageForm(
        re.compile(r"\s+(?P<text>(?:[Ff]rom schema(?: \$id)?|hint): .+)"),
        makes="note",
        hint=": ",
    ),
)

read_devicetree = read_forms((*_TREE_FORMS, *_SCHEMA_FORMS))
"""Takes a line of dtc, fdtoverlay, dt-schema or yamllint; False when it is none of theirs."""
