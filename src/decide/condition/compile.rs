//! From a condition's text to the tree that requests walk, collecting every mistake on the way.

use std::fmt::Display;

use serde_json::{Map, Value};

use super::node::{Node, Test};
use super::{DEPTH_MAX, Groups, Key, NODES_MAX, Problem, coerce, operator};

/// Compiles a whole condition.
pub(super) fn compile(
    source: &Value,
    groups: &Groups,
    resolve: &mut dyn FnMut(&str) -> Key,
) -> (Node<Key>, Vec<Problem>) {
    let mut compiler = Compiler {
        groups,
        problems: Vec::new(),
        path: Vec::new(),
        depth: 0,
        nodes: 0,
    };
    let root = compiler.node(source, resolve);
    (root, compiler.problems)
}

/// What is known while a condition is being compiled.
pub(super) struct Compiler<'a> {
    pub(super) groups: &'a Groups,
    problems: Vec<Problem>,
    /// Names from the root to what is being compiled.
    path: Vec<String>,
    depth: u32,
    nodes: u32,
}

impl Compiler<'_> {
    /// A condition on something with attributes: `{attribute: test, $or: [...], ...}`.
    pub(super) fn node<P>(&mut self, source: &Value, place: &mut dyn FnMut(&str) -> P) -> Node<P> {
        let Some(members) = source.as_object() else {
            // JavaScript sees no members in it, and so nothing that could fail.
            self.problem("expected an object of attributes and what they must be");
            return Node::always();
        };
        let nodes = members.iter().map(|(name, value)| {
            let node = self.nested(name, |c| c.member(name, value, place));
            node.unwrap_or_else(Node::never)
        });
        let mut nodes: Vec<Node<P>> = nodes.collect();
        match nodes.pop() {
            Some(only) if nodes.is_empty() => only,
            last => {
                nodes.extend(last);
                Node::Every(nodes.into())
            }
        }
    }

    fn member<P>(
        &mut self,
        name: &str,
        value: &Value,
        place: &mut dyn FnMut(&str) -> P,
    ) -> Node<P> {
        match name {
            "$and" => Node::Every(self.nodes(value, place)),
            "$or" => self.any(value, place),
            "$nor" => Node::Not(Box::new(self.any(value, place))),
            "$not" => Node::Not(Box::new(self.node(value, place))),
            _ => {
                if name.starts_with('$') {
                    self.problem("expected $and, $or, $nor, $not or the name of an attribute");
                }
                let test = self.test(value, false);
                Node::At(place(name), test)
            }
        }
    }

    /// At least one of a list of conditions; an empty list holds, as the SDKs have it.
    fn any<P>(&mut self, value: &Value, place: &mut dyn FnMut(&str) -> P) -> Node<P> {
        let nodes = self.nodes(value, place);
        if nodes.is_empty() {
            return Node::always();
        }
        Node::Any(nodes)
    }

    fn nodes<P>(&mut self, value: &Value, place: &mut dyn FnMut(&str) -> P) -> Box<[Node<P>]> {
        let Some(conditions) = value.as_array() else {
            self.problem("expected a list of conditions");
            return Box::default();
        };
        let nodes = conditions.iter().enumerate().map(|(i, condition)| {
            let node = self.nested(i, |c| c.node(condition, place));
            node.unwrap_or_else(Node::never)
        });
        nodes.collect()
    }

    /// What one value must be: itself, or an object of operators. `fold` ignores the case of text.
    pub(super) fn test(&mut self, source: &Value, fold: bool) -> Test {
        match source {
            Value::Null => Test::Identical(super::node::Literal::Null),
            Value::Bool(flag) => Test::Flag(*flag),
            Value::Number(number) => Test::Number(coerce::number(number)),
            Value::String(text) if fold => {
                Test::TextFolded(coerce::folded(text).collect::<String>().into())
            }
            Value::String(text) => Test::Text(text.as_str().into()),
            Value::Object(members) if is_operators(members) => self.operators(members),
            Value::Array(_) => Test::Same(source.clone()),
            Value::Object(members) => {
                if members.keys().any(|name| name.starts_with('$')) {
                    self.problem("expected either operators or the members of an object, not both");
                }
                Test::Same(source.clone())
            }
        }
    }

    fn operators(&mut self, members: &Map<String, Value>) -> Test {
        let tests = members.iter().map(|(name, operand)| {
            let test = self.nested(name, |c| operator::compile(c, name, operand));
            test.unwrap_or(Test::Never)
        });
        let mut tests: Vec<Test> = tests.collect();
        match tests.pop() {
            Some(only) if tests.is_empty() => only,
            last => {
                tests.extend(last);
                Test::Every(tests.into())
            }
        }
    }

    /// Compiles what is one step deeper under `name`; `None` and a problem beyond a limit.
    pub(super) fn nested<T>(
        &mut self,
        name: impl Display,
        compile: impl FnOnce(&mut Self) -> T,
    ) -> Option<T> {
        if self.nodes > NODES_MAX {
            return None;
        }
        self.path.push(name.to_string());
        self.depth += 1;
        self.nodes += 1;
        let compiled = if self.nodes > NODES_MAX {
            self.problem(format!(
                "expected at most {NODES_MAX} operators and attributes in one condition"
            ));
            None
        } else if self.depth > DEPTH_MAX {
            self.problem(format!("expected at most {DEPTH_MAX} levels"));
            None
        } else {
            Some(compile(self))
        };
        self.depth -= 1;
        self.path.pop();
        compiled
    }

    /// Notes a mistake in what is being compiled.
    pub(super) fn problem(&mut self, message: impl Into<String>) {
        self.problems.push(Problem {
            path: self.path.join("."),
            message: message.into(),
        });
    }
}

/// Whether every member is an operator, and there is one.
pub(super) fn is_operators(members: &Map<String, Value>) -> bool {
    !members.is_empty() && members.keys().all(|name| name.starts_with('$'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::condition::{Attr, Attributes, Condition};
    use serde_json::json;

    struct One;

    impl Attributes for One {
        fn get(&self, _: Key) -> Attr<'_> {
            Attr::Number(1.0)
        }
    }

    #[track_caller]
    fn check(condition: Value, path: &str, message: &str, holds: bool) {
        let (compiled, problems) = Condition::compile(&condition, &Groups::new(), &mut |_| Key(0));
        let found = problems
            .iter()
            .map(|p| (p.path.as_str(), p.message.as_str()));
        assert_eq!(found.collect::<Vec<_>>(), [(path, message)], "{condition}");
        assert_eq!(compiled.holds(&One), holds, "{condition}");
    }

    #[test]
    fn a_wrong_shape_is_a_problem_with_its_place() {
        let object = "expected an object of attributes and what they must be";
        check(json!(1), "", object, true);
        check(json!({"$not": null}), "$not", object, false);
        check(json!({"$and": [{}, 3]}), "$and.1", object, true);
        check(
            json!({"$or": {}}),
            "$or",
            "expected a list of conditions",
            true,
        );
        check(
            json!({"$nor": 1}),
            "$nor",
            "expected a list of conditions",
            false,
        );
        let name = "expected $and, $or, $nor, $not or the name of an attribute";
        check(json!({"$gt": 1}), "$gt", name, true);
        let mixed = "expected either operators or the members of an object, not both";
        check(json!({"a": {"$gt": 0, "b": 1}}), "a", mixed, false);
    }

    #[test]
    fn what_is_too_deep_never_holds() {
        let nest = |levels| (0..levels).fold(json!({"a": 1}), |inner, _| json!({"$and": [inner]}));
        // Each `$and` is two levels, its name and its place in the list, and `a` is one.
        let fits = (DEPTH_MAX - 1) / 2;
        let (compiled, problems) = Condition::compile(&nest(fits), &Groups::new(), &mut |_| Key(0));
        assert_eq!((compiled.holds(&One), problems.len()), (true, 0));
        let path = vec!["$and.0"; DEPTH_MAX as usize / 2].join(".") + ".a";
        check(nest(fits + 1), &path, "expected at most 32 levels", false);
    }

    #[test]
    fn what_is_too_much_is_one_problem_and_never_holds() {
        let many = |n| Value::from_iter((0..n).map(|i| (format!("a{i:04}"), json!(1))));
        let (compiled, problems) =
            Condition::compile(&many(NODES_MAX), &Groups::new(), &mut |_| Key(0));
        assert_eq!((compiled.holds(&One), problems.len()), (true, 0));
        let message = "expected at most 1000 operators and attributes in one condition";
        check(many(NODES_MAX + 7), "a1000", message, false);
    }

    #[test]
    fn each_attribute_is_resolved_by_its_whole_path() {
        let condition = json!({"a.b": 1, "$not": {"c": {"$elemMatch": {"d.e": 1}}}});
        let mut asked = Vec::new();
        Condition::compile(&condition, &Groups::new(), &mut |path| {
            asked.push(path.to_owned());
            Key(0)
        });
        asked.sort();
        assert_eq!(asked, ["a.b", "c"]);
    }
}
