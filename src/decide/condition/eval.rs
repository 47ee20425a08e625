//! Walks a compiled condition. Nothing here can fail: what cannot be compared does not hold.

use super::node::{Element, Kind, Node, Path, Test};
use super::{Attr, coerce, version};
use serde_json::Value;

/// Whether the condition is true of what `find` finds.
pub(super) fn holds<'a, P>(node: &Node<P>, find: &impl Fn(&P) -> Attr<'a>) -> bool {
    match node {
        Node::Every(nodes) => nodes.iter().all(|node| holds(node, find)),
        Node::Any(nodes) => nodes.iter().any(|node| holds(node, find)),
        Node::Not(node) => !holds(node, find),
        Node::At(place, test) => passes(test, find(place).plain()),
    }
}

/// Whether the value, in its plain form, passes.
fn passes(test: &Test, value: Attr<'_>) -> bool {
    match test {
        Test::Every(tests) => tests.iter().all(|test| passes(test, value)),
        Test::Not(test) => !passes(test, value),
        Test::Never => false,
        Test::Text(expected) => is_text(value, |text| *text == **expected),
        Test::TextFolded(expected) => is_text(value, |text| {
            text.eq_ignore_ascii_case(expected) || coerce::folded(text).eq(expected.chars())
        }),
        Test::Number(expected) => coerce::to_number(value) == *expected,
        Test::Flag(expected) => !is_null(value) && coerce::truthy(value) == *expected,
        Test::Same(expected) => coerce::same(value, expected),
        Test::Identical(expected) => coerce::identical(value, expected),
        Test::Compare(relation, operand) => {
            coerce::compare(value, operand).is_some_and(|order| relation.admits(order))
        }
        Test::Version(relation, expected) => {
            version::compare(value, expected).is_some_and(|order| relation.admits(order))
        }
        Test::In(set) => match coerce::items(value) {
            Some(mut items) => items.any(|item| set.contains(item)),
            None => set.contains(value),
        },
        Test::All(tests) => coerce::items(value).is_some_and(|_| {
            let some_item = |test| some_item(value, |item| passes(test, item));
            tests.iter().all(some_item)
        }),
        Test::Size(test) => {
            coerce::items(value).is_some_and(|items| passes(test, Attr::Number(items.len() as f64)))
        }
        Test::Element(element) => {
            some_item(value, |item| coerce::truthy(item) && matches(element, item))
        }
        Test::Exists(expected) => is_null(value) != *expected,
        Test::Kind(expected) => kind(value) == *expected,
        Test::Matches(regex) => is_text(value, |text| regex.is_match(text)),
    }
}

fn matches(element: &Element, item: Attr<'_>) -> bool {
    match element {
        Element::Value(test) => passes(test, item),
        Element::Object(node) => holds(node, &|path: &Path| item.at(&path.0)),
    }
}

fn some_item<'a>(value: Attr<'a>, passes: impl FnMut(Attr<'a>) -> bool) -> bool {
    coerce::items(value).is_some_and(|mut items| items.any(passes))
}

fn is_text(value: Attr<'_>, read: impl FnOnce(&str) -> bool) -> bool {
    coerce::with_text(value, read).unwrap_or(false)
}

fn is_null(value: Attr<'_>) -> bool {
    matches!(value, Attr::Missing | Attr::Null)
}

fn kind(value: Attr<'_>) -> Kind {
    match value {
        Attr::Missing | Attr::Null => Kind::Null,
        Attr::Flag(_) => Kind::Flag,
        Attr::Number(_) => Kind::Number,
        Attr::Text(_) => Kind::Text,
        Attr::List(_) | Attr::Json(Value::Array(_)) => Kind::List,
        Attr::Json(_) => Kind::Object,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::condition::{Attributes, Condition, Groups, Key};
    use serde_json::json;

    /// One attribute, called `a`.
    struct Only<'a>(Attr<'a>);

    impl Attributes for Only<'_> {
        fn get(&self, _: Key) -> Attr<'_> {
            self.0
        }
    }

    #[track_caller]
    fn check_attr(test: Value, attr: Attr<'_>, expected: bool) {
        let groups = Groups::from([("ids".to_owned(), vec![json!(1), json!("2")])]);
        let condition = json!({ "a": test });
        let (compiled, _) = Condition::compile(&condition, &groups, &mut |_| Key(0));
        assert_eq!(
            compiled.holds(&Only(attr)),
            expected,
            "{condition} of {attr:?}"
        );
    }

    /// Checks the test against each of these values.
    #[track_caller]
    fn check(test: Value, passing: &[Value], failing: &[Value]) {
        for value in passing {
            check_attr(test.clone(), Attr::Json(value), true);
        }
        for value in failing {
            check_attr(test.clone(), Attr::Json(value), false);
        }
    }

    #[test]
    fn a_plain_value_is_compared_loosely() {
        check(
            json!("5"),
            &[json!("5"), json!(5), json!([5]), json!(["5"])],
            &[json!(6), json!("5.0"), json!(null)],
        );
        check(json!("null"), &[json!(null)], &[json!("")]);
        check(json!("a,b"), &[json!(["a", "b"])], &[json!(["b", "a"])]);
        check(json!("true"), &[json!(true)], &[json!(false), json!(1)]);
        check(
            json!(5),
            &[json!(5), json!("5"), json!(" 5.0 "), json!([5])],
            &[json!("5x"), json!({}), json!(true)],
        );
        check(
            json!(0),
            &[json!(0), json!(null), json!(""), json!(false), json!([])],
            &[json!("a")],
        );
        check(json!(1), &[json!(true)], &[json!(null)]);
        check(
            json!(true),
            &[json!(true), json!(1), json!("x"), json!([])],
            &[json!(0), json!(""), json!(null)],
        );
        check(
            json!(false),
            &[json!(false), json!(0), json!("")],
            &[json!(null), json!({})],
        );
        check(
            json!(null),
            &[json!(null)],
            &[json!(0), json!(""), json!(false), json!([])],
        );
    }

    #[test]
    fn lists_and_objects_are_compared_by_content() {
        check(
            json!([1, "x", null, {"k": [true]}]),
            &[json!([1.0, "x", null, {"k": [true]}])],
            &[
                json!([1, "x", null, {"k": [false]}]),
                json!([1, "x", null]),
                json!("1,x"),
                json!({}),
            ],
        );
        check(
            json!({}),
            &[json!({})],
            &[json!([]), json!(null), json!({"a": 1})],
        );
        check(
            json!({"k": 1, "l": 2}),
            &[json!({"l": 2, "k": 1})],
            &[json!({"k": 1, "m": 2})],
        );
    }

    #[test]
    fn eq_and_ne_tell_types_apart() {
        check(
            json!({"$eq": 5}),
            &[json!(5), json!(5.0)],
            &[json!("5"), json!(null), json!([5])],
        );
        check(
            json!({"$eq": null}),
            &[json!(null)],
            &[json!(0), json!(false)],
        );
        check(
            json!({"$eq": "a"}),
            &[json!("a")],
            &[json!("A"), json!(["a"])],
        );
        check(
            json!({"$ne": "a"}),
            &[json!("b"), json!(null), json!(["a"])],
            &[json!("a")],
        );
        check(json!({"$eq": [1]}), &[], &[json!([1])]);
        check(json!({"$ne": {"k": 1}}), &[json!({"k": 1}), json!(1)], &[]);
    }

    #[test]
    fn order_is_that_of_javascript() {
        check(
            json!({"$gt": 5}),
            &[json!(6), json!("6"), json!([6])],
            &[json!(5), json!("x"), json!(null), json!({})],
        );
        check(
            json!({"$lte": 0}),
            &[json!(0), json!(null), json!(""), json!(false)],
            &[json!(true), json!("x")],
        );
        check(
            json!({"$lt": "b"}),
            &[json!("a"), json!("Z"), json!(["a", "z"])],
            &[json!("b"), json!(1), json!(null)],
        );
        check(
            json!({"$gt": "10"}),
            &[json!("9"), json!(11), json!("100")],
            &[json!(9), json!("1")],
        );
        check(
            json!({"$gte": "2"}),
            &[json!(2), json!("2"), json!("20a")],
            &[json!(1.5)],
        );
        check(json!({"$gt": true}), &[json!(2)], &[json!(1), json!(true)]);
        // U+FFFF sorts after U+10000, whose first UTF-16 unit is a surrogate.
        check(json!({"$lt": "\u{ffff}"}), &[json!("\u{10000}")], &[]);
    }

    #[test]
    fn a_missing_attribute_is_null() {
        for (test, expected) in [
            (json!(null), true),
            (json!({"$eq": null}), true),
            (json!({"$in": [null]}), true),
            (json!({"$exists": false}), true),
            (json!({"$exists": true}), false),
            (json!({"$type": "null"}), true),
            (json!({"$ne": 10}), true),
            (json!({"$gt": -10, "$lt": 10}), true),
            (json!({"$nin": ["x"]}), true),
            (json!({"$notInGroup": "ids"}), true),
            (json!({"$not": {"$regex": "x"}}), true),
            (json!({"$notRegex": "x"}), true),
            (json!({"$size": 0}), false),
            (json!({"$all": []}), false),
            (json!({"$elemMatch": {}}), false),
            (json!({"$veq": "0"}), true),
            (json!(false), false),
        ] {
            check_attr(test.clone(), Attr::Missing, expected);
            check_attr(test, Attr::Null, expected);
        }
    }

    #[test]
    fn sets_look_into_lists() {
        check(
            json!({"$in": [1, "2"]}),
            &[json!(1), json!("2"), json!(["x", 1])],
            &[json!(2), json!("1"), json!([]), json!([[1]])],
        );
        check(
            json!({"$nin": ["a"]}),
            &[json!("b"), json!([]), json!(["b"])],
            &[json!("a"), json!(["b", "a"])],
        );
        check(
            json!({"$ini": ["Äb", 1]}),
            &[json!("äB"), json!(["x", "ÄB"]), json!(1)],
            &[json!("ab")],
        );
        check(json!({"$in": "abc"}), &[], &[json!("a"), json!("abc")]);
        check(json!({"$nin": "abc"}), &[], &[json!("a"), json!("x")]);
        check(
            json!({"$inGroup": "ids"}),
            &[json!(1), json!("2"), json!([2, 1])],
            &[json!("1"), json!(2)],
        );
        check(
            json!({"$inGroup": "unknown"}),
            &[],
            &[json!(1), json!(null)],
        );
        check(json!({"$notInGroup": "unknown"}), &[json!(1)], &[]);
    }

    #[test]
    fn lists_are_looked_into() {
        check(
            json!({"$all": ["a", {"$regex": "^b"}]}),
            &[json!(["bb", "a"])],
            &[json!(["a"]), json!("a")],
        );
        check(json!({"$all": []}), &[json!([]), json!([1])], &[json!("a")]);
        check(
            json!({"$alli": ["Ä", 1]}),
            &[json!(["ä", "1"])],
            &[json!(["ä"])],
        );
        check(
            json!({"$size": {"$gte": 1, "$lt": 3}}),
            &[json!([0]), json!([0, 0])],
            &[json!([]), json!("x")],
        );
        check(
            json!({"$elemMatch": {"$gte": 0}}),
            &[json!([-1, 1])],
            &[json!([0]), json!([null]), json!(1)],
        );
        check(
            json!({"$elemMatch": {"tags.0": "x", "$or": [{"n": 1}, {"m.k": {"$exists": true}}]}}),
            &[
                json!([{}, {"tags": ["x"], "n": 1}]),
                json!([{"tags": "xx", "n": 1}, {"tags": ["x"], "m": {"k": 0}}]),
            ],
            &[json!([{"tags": ["x"]}, {"n": 1}]), json!(["x"])],
        );
        check(
            json!({"$elemMatch": {"$elemMatch": {"$eq": 1}}}),
            &[json!([[2], [1]])],
            &[json!([1])],
        );
        check(
            json!({"$elemMatch": {"length": 2}}),
            &[json!([[1, 2]])],
            &[json!([[1]])],
        );
    }

    #[test]
    fn a_list_of_strings_is_a_list() {
        let list = Attr::List(&["fibre", "TV"]);
        check_attr(json!(["fibre", "TV"]), list, true);
        check_attr(json!({"$in": ["TV"]}), list, true);
        check_attr(json!({"$ini": ["tv"]}), list, true);
        check_attr(json!({"$all": ["TV", "fibre"]}), list, true);
        check_attr(json!({"$size": 2}), list, true);
        check_attr(json!({"$type": "array"}), list, true);
        check_attr(json!({"$elemMatch": {"$regex": "^f"}}), list, true);
        check_attr(json!({"$regex": "fibre,TV"}), list, true);
        check_attr(json!("fibre,TV"), list, true);
        check_attr(json!({"$eq": "fibre,TV"}), list, false);
        assert_eq!(list.at("1"), Attr::Text("TV"));
        assert_eq!(list.at("length"), Attr::Number(2.0));
        assert_eq!(list.at("2.x"), Attr::Missing);
    }

    #[test]
    fn each_value_has_one_type() {
        let values = [
            json!("x"),
            json!(1),
            json!(true),
            json!([]),
            json!({}),
            json!(null),
        ];
        let words = ["string", "number", "boolean", "array", "object", "null"];
        for (i, word) in words.iter().enumerate() {
            for (j, value) in values.iter().enumerate() {
                check_attr(json!({ "$type": word }), Attr::Json(value), i == j);
            }
        }
        check(json!({"$type": "undefined"}), &[], &values);
    }

    #[test]
    fn expressions_look_at_text() {
        check(
            json!({"$regex": "^a/b$"}),
            &[json!("a/b")],
            &[json!("A/b"), json!("xa/b")],
        );
        check(
            json!({"$regexi": "^A\\/b$"}),
            &[json!("a/B")],
            &[json!("ab")],
        );
        check(json!({"$regex": "^12\\.5$"}), &[json!(12.5)], &[json!(12)]);
        check(json!({"$regex": "null"}), &[json!(null)], &[json!("")]);
        check(json!({"$notRegex": "a"}), &[json!("b")], &[json!("a")]);
        check(json!({"$notRegexi": "A"}), &[json!("b")], &[json!("a")]);
        for operator in ["$regex", "$regexi", "$notRegex", "$notRegexi"] {
            check(json!({operator: "["}), &[], &[json!("["), json!(null)]);
        }
    }

    #[test]
    fn not_turns_any_test() {
        check(json!({"$not": "x"}), &[json!("y")], &[json!("x")]);
        check(
            json!({"$not": {"$not": {"$gt": 1}}}),
            &[json!(2)],
            &[json!(1)],
        );
        check(json!({"$not": {"$what": 1}}), &[json!(1)], &[]);
        check(json!({"$what": 1}), &[], &[json!(1)]);
    }

    #[test]
    fn an_empty_list_of_conditions_holds() {
        for (condition, expected) in [
            (json!({}), true),
            (json!({"$and": []}), true),
            (json!({"$or": []}), true),
            (json!({"$nor": []}), false),
            (json!({"$not": {}}), false),
        ] {
            let (compiled, problems) =
                Condition::compile(&condition, &Groups::new(), &mut |_| Key(0));
            assert_eq!(problems, [], "{condition}");
            assert_eq!(
                compiled.holds(&Only(Attr::Missing)),
                expected,
                "{condition}"
            );
        }
    }
}
