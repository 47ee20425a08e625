//! What each operator asks of a value. A wrong operand is a problem, and means what JavaScript makes
//! of it.

use regex::RegexBuilder;
use serde_json::Value;

use super::compile::{Compiler, is_operators};
use super::node::{Element, Kind, Operand, Path, Relation, Test};
use super::set::Set;
use super::{Attr, REGEX_BYTES_MAX, coerce, version};

/// The test that `{name: operand}` stands for.
pub(super) fn compile(c: &mut Compiler<'_>, name: &str, operand: &Value) -> Test {
    match name {
        "$eq" => identical(c, operand),
        "$ne" => not(identical(c, operand)),
        "$lt" => compare(c, Relation::Less, operand),
        "$lte" => compare(c, Relation::LessOrEqual, operand),
        "$gt" => compare(c, Relation::Greater, operand),
        "$gte" => compare(c, Relation::GreaterOrEqual, operand),
        "$veq" => version(c, Relation::Equal, operand),
        "$vne" => not(version(c, Relation::Equal, operand)),
        "$vlt" => version(c, Relation::Less, operand),
        "$vlte" => version(c, Relation::LessOrEqual, operand),
        "$vgt" => version(c, Relation::Greater, operand),
        "$vgte" => version(c, Relation::GreaterOrEqual, operand),
        "$in" => set(c, operand, false).map_or(Test::Never, Test::In),
        "$ini" => set(c, operand, true).map_or(Test::Never, Test::In),
        "$nin" => set(c, operand, false).map_or(Test::Never, |set| not(Test::In(set))),
        "$nini" => set(c, operand, true).map_or(Test::Never, |set| not(Test::In(set))),
        "$inGroup" => Test::In(group(c, operand)),
        "$notInGroup" => not(Test::In(group(c, operand))),
        "$all" => all(c, operand, false),
        "$alli" => all(c, operand, true),
        "$elemMatch" => Test::Element(Box::new(element(c, operand))),
        "$size" => size(c, operand),
        "$exists" => exists(c, operand),
        "$type" => kind(c, operand),
        "$regex" => regex(c, operand, false).map_or(Test::Never, Test::Matches),
        "$regexi" => regex(c, operand, true).map_or(Test::Never, Test::Matches),
        "$notRegex" => regex(c, operand, false).map_or(Test::Never, |r| not(Test::Matches(r))),
        "$notRegexi" => regex(c, operand, true).map_or(Test::Never, |r| not(Test::Matches(r))),
        "$not" => not(c.test(operand, false)),
        _ => {
            c.problem("unknown operator");
            Test::Never
        }
    }
}

fn not(test: Test) -> Test {
    Test::Not(Box::new(test))
}

fn identical(c: &mut Compiler<'_>, operand: &Value) -> Test {
    match coerce::literal(operand) {
        Some(literal) => Test::Identical(literal),
        None => {
            c.problem(
                "expected a string, a number, a boolean or null; a list or an object is compared \
                 without an operator",
            );
            Test::Never
        }
    }
}

fn compare(c: &mut Compiler<'_>, relation: Relation, operand: &Value) -> Test {
    if !operand.is_string() && !operand.is_number() {
        c.problem("expected a number or a string");
    }
    let value = Attr::Json(operand).plain();
    let text = match operand {
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
        _ => coerce::with_text(value, |text| Box::from(text)),
    };
    let number = coerce::to_number(value);
    Test::Compare(relation, Operand { number, text })
}

fn version(c: &mut Compiler<'_>, relation: Relation, operand: &Value) -> Test {
    if !operand.is_string() {
        c.problem("expected a version as a string");
    }
    let padded = match Attr::Json(operand).plain() {
        value @ (Attr::Text(_) | Attr::Number(_)) => coerce::with_text(value, version::padded),
        _ => None,
    };
    Test::Version(relation, padded.unwrap_or_else(|| version::padded("0")))
}

fn set(c: &mut Compiler<'_>, operand: &Value, fold: bool) -> Option<Set> {
    let values = list(c, operand)?;
    Some(Set::new(values, fold))
}

fn group(c: &mut Compiler<'_>, operand: &Value) -> Set {
    let Some(name) = operand.as_str() else {
        c.problem("expected the name of a group");
        return Set::default();
    };
    let Some(values) = c.groups.get(name) else {
        c.problem(format!("unknown group {name:?}"));
        return Set::default();
    };
    Set::new(values, false)
}

fn all(c: &mut Compiler<'_>, operand: &Value, fold: bool) -> Test {
    let Some(values) = list(c, operand) else {
        return Test::Never;
    };
    let tests = values.iter().enumerate().map(|(i, value)| {
        let test = c.nested(i, |c| c.test(value, fold));
        test.unwrap_or(Test::Never)
    });
    Test::All(tests.collect())
}

fn list<'v>(c: &mut Compiler<'_>, operand: &'v Value) -> Option<&'v [Value]> {
    let values = operand.as_array();
    if values.is_none() {
        c.problem("expected a list");
    }
    values.map(Vec::as_slice)
}

fn element(c: &mut Compiler<'_>, operand: &Value) -> Element {
    match operand {
        Value::Object(members) if is_operators(members) => Element::Value(c.test(operand, false)),
        _ => Element::Object(c.node(operand, &mut |path: &str| Path(path.into()))),
    }
}

fn size(c: &mut Compiler<'_>, operand: &Value) -> Test {
    let counts = match operand {
        Value::Number(_) => true,
        Value::Object(members) => is_operators(members),
        _ => false,
    };
    if !counts {
        c.problem("expected a number or operators such as $gt");
    }
    Test::Size(Box::new(c.test(operand, false)))
}

fn exists(c: &mut Compiler<'_>, operand: &Value) -> Test {
    if !operand.is_boolean() {
        c.problem("expected true or false");
    }
    Test::Exists(coerce::truthy(Attr::Json(operand).plain()))
}

fn kind(c: &mut Compiler<'_>, operand: &Value) -> Test {
    match Kind::WORDS.iter().find(|(word, _)| operand == word) {
        Some((_, kind)) => Test::Kind(*kind),
        None => {
            let words = Kind::WORDS.map(|(word, _)| word);
            c.problem(format!("expected one of {}", words.join(", ")));
            Test::Never
        }
    }
}

fn regex(c: &mut Compiler<'_>, operand: &Value, fold: bool) -> Option<regex::Regex> {
    let Some(pattern) = operand.as_str() else {
        c.problem("expected a regular expression as a string");
        return None;
    };
    let built = RegexBuilder::new(pattern)
        .case_insensitive(fold)
        .size_limit(REGEX_BYTES_MAX)
        .dfa_size_limit(REGEX_BYTES_MAX)
        .build();
    if let Err(error) = &built {
        // The crate draws the pattern with a caret over many lines; the last one says what is wrong.
        let text = error.to_string();
        let cause = text.lines().last().unwrap_or_default();
        c.problem(format!(
            "not a regular expression: {}",
            cause.trim_start_matches("error: ")
        ));
    }
    built.ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::decide::condition::{Condition, Groups, Key};

    #[track_caller]
    fn check(condition: Value, path: &str, message: &str) {
        let groups = Groups::from([("vip".to_owned(), vec![json!("a")])]);
        let (_, problems) = Condition::compile(&condition, &groups, &mut |_| Key(0));
        let found = problems
            .iter()
            .map(|p| (p.path.as_str(), p.message.as_str()));
        assert_eq!(found.collect::<Vec<_>>(), [(path, message)], "{condition}");
    }

    #[test]
    fn a_wrong_operand_is_a_problem_with_its_place() {
        check(json!({"a": {"$in": 1}}), "a.$in", "expected a list");
        check(json!({"a": {"$nini": "x"}}), "a.$nini", "expected a list");
        check(json!({"a": {"$alli": {}}}), "a.$alli", "expected a list");
        check(
            json!({"a.b": {"$gt": null}}),
            "a.b.$gt",
            "expected a number or a string",
        );
        check(
            json!({"a": {"$vlt": 1}}),
            "a.$vlt",
            "expected a version as a string",
        );
        check(
            json!({"a": {"$exists": 1}}),
            "a.$exists",
            "expected true or false",
        );
        check(
            json!({"a": {"$size": "1"}}),
            "a.$size",
            "expected a number or operators such as $gt",
        );
        check(
            json!({"a": {"$regex": 1}}),
            "a.$regex",
            "expected a regular expression as a string",
        );
        check(
            json!({"a": {"$inGroup": []}}),
            "a.$inGroup",
            "expected the name of a group",
        );
        check(
            json!({"a": {"$notInGroup": "vop"}}),
            "a.$notInGroup",
            "unknown group \"vop\"",
        );
        check(
            json!({"a": {"$type": "text"}}),
            "a.$type",
            "expected one of string, number, boolean, array, object, null",
        );
        check(
            json!({"a": {"$ne": [1]}}),
            "a.$ne",
            "expected a string, a number, a boolean or null; a list or an object is compared \
             without an operator",
        );
        check(
            json!({"a": {"$elemMatch": 1}}),
            "a.$elemMatch",
            "expected an object of attributes and what they must be",
        );
    }

    #[test]
    fn an_expression_that_is_none_is_a_problem_in_one_line() {
        check(
            json!({"a": {"$regexi": "(?=x)"}}),
            "a.$regexi",
            "not a regular expression: look-around, including look-ahead and look-behind, is not supported",
        );
        check(
            json!({"a": {"$notRegex": "("}}),
            "a.$notRegex",
            "not a regular expression: unclosed group",
        );
        check(
            json!({"a": {"$regex": "(\\w{1000}){1000}"}}),
            "a.$regex",
            "not a regular expression: Compiled regex exceeds size limit of 1048576 bytes.",
        );
    }

    #[test]
    fn an_unknown_operator_is_a_problem_wherever_it_is() {
        check(json!({"a": {"$gtr": 1}}), "a.$gtr", "unknown operator");
        check(
            json!({"$or": [{"b": 1}, {"a": {"$not": {"$elemMatch": {"c": {"$foo": 1}}}}}]}),
            "$or.1.a.$not.$elemMatch.c.$foo",
            "unknown operator",
        );
    }
}
