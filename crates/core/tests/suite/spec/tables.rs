//! Tables of broken documents: what is changed, and exactly what is wrong then.

use std::collections::BTreeSet;

use moorline_core::spec::RULES;
use serde_json::Value;

use crate::spec::samples::load;

/// Sets the member at a JSON pointer; `null` removes it.
pub(crate) fn set(document: &mut Value, pointer: &str, value: Value) {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let name = name.replace("~1", "/");
    match document.pointer_mut(parent).unwrap() {
        Value::Object(object) if value.is_null() => drop(object.remove(&name)),
        Value::Object(object) => drop(object.insert(name, value)),
        Value::Array(items) => {
            let index: usize = name.parse().unwrap();
            if index == items.len() {
                items.push(value);
            } else {
                items[index] = value;
            }
        }
        _ => panic!("{pointer}"),
    }
}

pub(crate) type Pairs = BTreeSet<(String, String)>;

pub(crate) fn pairs(list: &[(&str, &str)]) -> Pairs {
    list.iter()
        .map(|(pointer, rule)| ((*pointer).to_owned(), (*rule).to_owned()))
        .collect()
}

pub(crate) fn broken(document: &Value) -> Pairs {
    match load(document) {
        Ok(_) => BTreeSet::new(),
        Err(found) => found
            .iter()
            .map(|v| (v.pointer.clone(), v.rule.clone()))
            .collect(),
    }
}

/// A document, what is changed in it, and exactly what is wrong then.
pub(crate) type Case<'a> = (&'a [(&'a str, Value)], &'a [(&'a str, &'a str)]);

pub(crate) fn check(base: &Value, cases: &[Case<'_>]) {
    let ids: BTreeSet<&str> = RULES.iter().map(|rule| rule.id).collect();
    for (changes, expected) in cases {
        let mut document = base.clone();
        for (pointer, value) in *changes {
            set(&mut document, pointer, value.clone());
        }
        assert_eq!(broken(&document), pairs(expected), "{changes:?}");
        for (_, rule) in *expected {
            assert!(ids.contains(rule), "{rule} is not in the table");
        }
    }
}
