"""Mutants of a module: its functions with one small fault each, as a tired hand might make it.

A fault lies within a function's body; annotations, docstrings, the words of errors and the module's own constants stay as they are.
"""

import ast
import copy
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import CodeType, FunctionType, ModuleType
from typing import Final

SWAPS: Final[dict[type, tuple[type, ...]]] = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
    ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Add,),
    ast.Div: (ast.Mult,), ast.FloorDiv: (ast.Mult,), ast.Mod: (ast.Mult,), ast.Pow: (ast.Mult,), ast.LShift: (ast.RShift,),
    ast.RShift: (ast.LShift,), ast.BitOr: (ast.BitAnd,), ast.BitAnd: (ast.BitOr,), ast.BitXor: (ast.BitOr,), ast.And: (ast.Or,),
    ast.Or: (ast.And,),
}  # fmt: skip
CALLS: Final = {"min": "max", "max": "min", "floor": "ceil", "any": "all", "all": "any"}
Fault = Callable[[ast.AST], ast.AST | None]  # a changed copy of a node, in its place; None takes a statement out


@dataclass(frozen=True)
class Mutant:
    """One fault: in which function of which module, at which line and column, what stood there and what stands there now."""

    module: str
    function: str
    line: int
    column: int
    source: str  # the line
    before: str
    after: str
    code: CodeType

    @property
    def name(self) -> str:
        return f"{self.module.rpartition('.')[2]}:{self.line}.{self.column} {self.function}: {self.before} -> {self.after}"


def _faults(node: ast.AST) -> Iterator[ast.AST | None]:
    """The ways in which one node may be wrong."""
    if isinstance(node, ast.Compare):
        for place, operator in enumerate(node.ops):
            for other in SWAPS.get(type(operator), ()):
                changed = copy.deepcopy(node)
                changed.ops[place] = other()
                yield changed
    elif isinstance(node, (ast.BinOp, ast.AugAssign, ast.BoolOp)):
        for other in SWAPS.get(type(node.op), ()):
            changed = copy.deepcopy(node)
            changed.op = other()
            yield changed
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub)):
        yield node.operand
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        yield from (ast.Constant(node.value + step) for step in (1, -1))
    elif isinstance(node, ast.Constant) and isinstance(node.value, float):
        yield ast.Constant(node.value * 1.25 + 0.25)
    elif isinstance(node, ast.Call):
        name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if other := CALLS.get(name):
            changed = copy.deepcopy(node)
            setattr(changed.func, "id" if isinstance(changed.func, ast.Name) else "attr", other)
            yield changed
        elif name == "abs":
            yield node.args[0]
    elif isinstance(node, ast.IfExp):
        yield ast.IfExp(node.test, node.orelse, node.body)
    if isinstance(node, (ast.If, ast.While)):
        changed = copy.deepcopy(node)
        changed.test = ast.UnaryOp(ast.Not(), changed.test)
        yield changed
    if isinstance(node, ast.Break):
        yield ast.Continue()
    elif isinstance(node, ast.Continue):
        yield ast.Break()
    elif isinstance(node, (ast.Assign, ast.AugAssign, ast.Expr)):
        yield None


def _places(node: ast.AST) -> Iterator[tuple[ast.AST, str, int | None]]:
    """Every place below a function at which a fault may lie: parent, field, place in a list."""
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "args", "type_comment") and isinstance(
            node, (ast.FunctionDef, ast.AnnAssign, ast.arg)
        ):
            continue
        for place, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(child, ast.AST) or isinstance(child, (ast.Raise, ast.Assert)):
                continue
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                continue  # a docstring
            yield node, field, place
            yield from _places(child)


def _shown(node: ast.AST | None) -> str:
    if node is None:
        return "nothing"
    text = ast.unparse(ast.fix_missing_locations(node)).split("\n")[0]
    return text if len(text) <= 90 else text[:87] + "..."


def _functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef, ast.Module]]:
    """Functions and methods of a module: their names, and each alone in a module, which is sooner compiled."""
    ahead: list[ast.stmt] = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node, ast.Module([*ahead, node], [])
        elif isinstance(node, ast.ClassDef):
            for part in node.body:
                if isinstance(part, ast.FunctionDef):
                    bare = ast.copy_location(ast.ClassDef(node.name, [], [], [part], []), node)
                    yield f"{node.name}.{part.name}", part, ast.Module([*ahead, bare], [])


def _code_of(module: CodeType, function: str) -> CodeType | None:
    """The code of a function in that of its module."""
    found = module
    for name in function.split("."):
        parts = [one for one in found.co_consts if isinstance(one, CodeType) and one.co_name == name]
        if not parts:
            return None
        found = parts[-1]
    return found


def _acts(code: CodeType) -> tuple[bytes, str, tuple[str, ...]]:
    """What a function does; one that holds others is never the same twice."""
    return code.co_code, repr(code.co_consts), code.co_names


def mutants(module: ModuleType) -> Iterator[Mutant]:
    """Every mutant of a module that compiles and is other code, in order."""
    source, path = inspect.getsource(module), str(module.__file__)
    tree, lines = ast.parse(source), source.splitlines()
    for function, node, alone in _functions(tree):
        plain = _code_of(compile(alone, path, "exec", dont_inherit=True), function)
        assert plain is not None, f"{function} is in its module"
        for parent, field, place in [*_places(node)]:
            value = getattr(parent, field)
            child = value if place is None else value[place]
            for fault in [*_faults(child)]:
                new = ast.Pass() if fault is None else fault
                ast.copy_location(new, child)
                put = value if place is not None else None
                if put is None:
                    setattr(parent, field, new)
                else:
                    put[place] = new
                try:
                    wrong = compile(ast.fix_missing_locations(alone), path, "exec", dont_inherit=True)
                except (SyntaxError, ValueError, TypeError):
                    continue
                finally:
                    if put is None:
                        setattr(parent, field, child)
                    else:
                        put[place] = child
                code = _code_of(wrong, function)
                if code is not None and _acts(code) != _acts(plain):
                    line, column = getattr(child, "lineno", node.lineno), getattr(child, "col_offset", 0)
                    shown = lines[line - 1].strip()
                    yield Mutant(module.__name__, function, line, column, shown, _shown(child), _shown(fault), code)


def function_of(module: ModuleType, name: str) -> FunctionType:
    """A function or method by its name; beneath decorators that wrap it."""
    found: object = module
    for part in name.split("."):
        found = inspect.getattr_static(found, part)
    found = getattr(found, "__func__", None) or getattr(found, "fget", None) or getattr(found, "func", None) or found
    found = inspect.unwrap(found)  # type: ignore[arg-type]
    assert isinstance(found, FunctionType), f"{name} is a function, with NUMBA_DISABLE_JIT=1"
    return found


def plant(mutant: Mutant, module: ModuleType) -> None:
    """Let a function be its mutant, wherever it was imported to."""
    function_of(module, mutant.function).__code__ = mutant.code
