//! Facts about a protocol: what there is, by name, and of what kind.

use std::collections::BTreeMap;
use std::fmt;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    FileDescriptorSet,
};

/// Kind and name, with the value.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Facts(BTreeMap<(String, String), String>);

/// A fact that another set does not have, or has otherwise.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Difference {
    kind: String,
    pub(super) name: String,
    value: String,
    other: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            name,
            value,
            other,
        } = self;
        match other {
            Some(other) => write!(f, "{kind} {name}: `{value}` here, `{other}` there"),
            None => write!(f, "{kind} {name}: `{value}` here, not there at all"),
        }
    }
}

impl Facts {
    /// Reads the lines of `descriptors.py`.
    pub(super) fn of_text(text: &str) -> Self {
        let line = |line: &str| {
            let mut parts = line.splitn(3, '\t');
            let (kind, name) = (parts.next()?, parts.next()?);
            let value = parts.next().unwrap_or_default();
            Some(((kind.to_owned(), name.to_owned()), value.to_owned()))
        };
        Self(text.lines().filter_map(line).collect())
    }

    /// Reads compiled files; what the files of other packages hold is left out.
    pub(super) fn of_files(files: &FileDescriptorSet) -> Self {
        let mut facts = Self::default();
        for file in files
            .file
            .iter()
            .filter(|file| file.package().starts_with("modal."))
        {
            facts.file(file);
        }
        facts
    }

    /// What is here and not the same there.
    pub(super) fn not_in(&self, other: &Self) -> Vec<Difference> {
        let differs = |((kind, name), value): (&(String, String), &String)| {
            let there = other.0.get(&(kind.clone(), name.clone()));
            (there != Some(value)).then(|| Difference {
                kind: kind.clone(),
                name: name.clone(),
                value: value.clone(),
                other: there.cloned(),
            })
        };
        self.0.iter().filter_map(differs).collect()
    }

    /// What is here and has no fact of that name there.
    pub(super) fn names_not_in<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = String> + 'a {
        let missing = self.0.iter().filter(|(key, _)| !other.0.contains_key(*key));
        missing.map(|((kind, name), value)| format!("{kind} {name} {value}"))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.keys().any(|(_, own)| own == name)
    }

    pub(super) fn count(&self, kind: &str) -> usize {
        self.0.keys().filter(|(own, _)| own == kind).count()
    }

    fn add(&mut self, kind: &str, name: String, value: String) {
        self.0.insert((kind.to_owned(), name), value);
    }

    fn file(&mut self, file: &FileDescriptorProto) {
        let package = file.package();
        for service in &file.service {
            for method in &service.method {
                let side = |streams: bool, name: &str| {
                    let stream = if streams { "stream " } else { "" };
                    format!("({stream}{})", name.trim_start_matches('.'))
                };
                let takes = side(method.client_streaming(), method.input_type());
                let gives = side(method.server_streaming(), method.output_type());
                let name = format!("{package}.{}.{}", service.name(), method.name());
                self.add("rpc", name, format!("{takes} returns {gives}"));
            }
        }
        for message in &file.message_type {
            self.message(package, message);
        }
        for values in &file.enum_type {
            self.values(package, values);
        }
    }

    fn message(&mut self, scope: &str, message: &DescriptorProto) {
        let name = format!("{scope}.{}", message.name());
        self.add("message", name.clone(), String::new());
        for field in &message.field {
            let value = format!("{} {}", field.number(), kind_of(message, field));
            self.add("field", format!("{name}.{}", field.name()), value);
        }
        for values in &message.enum_type {
            self.values(&name, values);
        }
        for nested in message
            .nested_type
            .iter()
            .filter(|nested| !is_map_entry(nested))
        {
            self.message(&name, nested);
        }
    }

    fn values(&mut self, scope: &str, values: &EnumDescriptorProto) {
        for value in &values.value {
            let name = format!("{scope}.{}.{}", values.name(), value.name());
            self.add("value", name, value.number().to_string());
        }
    }
}

fn is_map_entry(message: &DescriptorProto) -> bool {
    message
        .options
        .as_ref()
        .is_some_and(prost_types::MessageOptions::map_entry)
}

/// Label and type of a field, e.g. `repeated string`.
fn kind_of(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let entry = message.nested_type.iter().find(|nested| {
        is_map_entry(nested) && field.type_name().ends_with(&format!(".{}", nested.name()))
    });
    if let Some(entry) = entry {
        let [key, value] = ["key", "value"].map(|name| {
            let field = entry.field.iter().find(|field| field.name() == name);
            field.map(type_of).unwrap_or_default()
        });
        return format!("map<{key}, {value}>");
    }
    let label = if field.label() == Label::Repeated {
        "repeated ".to_owned()
    } else if field.proto3_optional() {
        "optional ".to_owned()
    } else if let Some(index) = field.oneof_index {
        let oneof = usize::try_from(index)
            .ok()
            .and_then(|index| message.oneof_decl.get(index));
        format!(
            "oneof {}: ",
            oneof
                .map(prost_types::OneofDescriptorProto::name)
                .unwrap_or_default()
        )
    } else {
        String::new()
    };
    format!("{label}{}", type_of(field))
}

fn type_of(field: &FieldDescriptorProto) -> String {
    match field.r#type() {
        Type::Message | Type::Enum => field.type_name().trim_start_matches('.').to_owned(),
        scalar => scalar
            .as_str_name()
            .trim_start_matches("TYPE_")
            .to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_number_and_a_name_that_is_not_there_are_told() {
        let ours = Facts::of_text("field\tm.X.a\t1 string\nfield\tm.X.b\t2 bool\nmessage\tm.X\t");
        let theirs = Facts::of_text("field\tm.X.a\t3 string\nmessage\tm.X\t\nfield\tm.X.c\t4 bool");
        let told: Vec<String> = ours
            .not_in(&theirs)
            .iter()
            .map(Difference::to_string)
            .collect();
        assert_eq!(
            told,
            [
                "field m.X.a: `1 string` here, `3 string` there",
                "field m.X.b: `2 bool` here, not there at all",
            ]
        );
        let added: Vec<String> = theirs.names_not_in(&ours).collect();
        assert_eq!(added, ["field m.X.c 4 bool"]);
    }
}
