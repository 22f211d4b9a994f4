//! JSON Schemas (2020-12): those that Moorline publishes, and a validator for any.
//!
//! | item | what |
//! |---|---|
//! | [`published`], [`all`] | the schemas of documents that others write or read, generated from the Rust types |
//! | [`config_schema`], [`job_spec_schema`], [`run_summary_schema`], [`tx_v1_schema`] | each of them |
//! | [`Validator`] | checks a document against a schema and says what is wrong as [`Violation`]s |
//!
//! The files below `schemas/` in the repository are these schemas, reviewed as text; a test compares them.
//!
//! A schema is never fetched: a `$ref` that points outside of its own document is refused, whatever
//! features other crates of a program switch on. `format` is checked, although 2020-12 leaves that open.

mod explain;

use std::fmt;

use schemars::generate::{Contract, SchemaSettings};
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde_json::Value;

use crate::canonical::MAX_SAFE_INTEGER;
use crate::config::ConfigDocument;
use crate::spec::{JobSpec, Violation};
use crate::summary::RunSummary;
use crate::tx::TxRecord;

/// The published schema of job specs (D-SPEC-1).
pub fn job_spec_schema() -> Value {
    generate::<JobSpec>("job_spec", Author::Person)
}

/// The published schema of one `tx_v1` record: one line of a transactions file.
pub fn tx_v1_schema() -> Value {
    generate::<TxRecord<'static>>("tx_v1", Author::Job)
}

/// The published schema of run summaries (D-RUN-3).
pub fn run_summary_schema() -> Value {
    generate::<RunSummary>("run_summary", Author::Moorline)
}

/// The published schema of one layer of the configuration: `moorline.toml`, as JSON.
pub fn config_schema() -> Value {
    generate::<ConfigDocument>("config", Author::Person)
}

/// Every published schema with its name, in the order of the names.
pub fn all() -> Vec<(&'static str, Value)> {
    vec![
        ("config", config_schema()),
        ("job_spec", job_spec_schema()),
        ("run_summary", run_summary_schema()),
        ("tx_v1", tx_v1_schema()),
    ]
}

/// A published schema by its name, such as `job_spec`.
pub fn published(name: &str) -> Option<Value> {
    all()
        .into_iter()
        .find_map(|(known, schema)| (known == name).then_some(schema))
}

/// Who writes a document, which decides what an optional member looks like that is not there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Author {
    /// It is left out, and never null.
    Person,
    /// It is left out, or null where the type says so.
    Job,
    /// It is null: every member is always there.
    Moorline,
}

/// The schema of what `T` is read from, or written to.
fn generate<T: JsonSchema>(name: &str, author: Author) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        let mut add = |transform: fn(&mut Schema)| {
            settings
                .transforms
                .push(Box::new(RecursiveTransform(transform)));
        };
        add(plain_numbers);
        add(plain_enums);
        add(plain_texts);
        if author == Author::Person {
            add(refuse_null);
        }
        if author == Author::Moorline {
            settings.contract = Contract::Serialize;
        }
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.insert(
        "$id".to_owned(),
        format!("urn:moorline:schema:{name}").into(),
    );
    schema.to_value()
}

/// Turns the `format` of integers into a maximum: `uint32` and its like are no formats of JSON Schema, and
/// what a type can not hold, or a double not tell apart (RFC 8785), the schema refuses.
fn plain_numbers(schema: &mut Schema) {
    let is_number = |kind: &Value| kind == "integer" || kind == "number";
    let numeric = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().any(is_number),
        Some(kind) => is_number(kind),
        None => false,
    };
    if !numeric {
        return;
    }
    let most = match schema.remove("format") {
        Some(Value::String(format)) if format == "uint32" => u64::from(u32::MAX),
        Some(Value::String(format)) if format == "uint64" => MAX_SAFE_INTEGER,
        _ => return,
    };
    if schema.get("maximum").is_none() {
        schema.insert("maximum".to_owned(), most.into());
    }
}

/// Writes a choice of fixed texts as `enum`, what each means as part of the description: shorter, quicker
/// to check, and a wrong text is told the right ones.
fn plain_enums(schema: &mut Schema) {
    let Some(Value::Array(choices)) = schema.get("oneOf") else {
        return;
    };
    let mut values = Vec::new();
    let mut text = schema
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    for choice in choices {
        let Some(value) = choice.get("const") else {
            return;
        };
        if let Some(meaning) = choice.get("description").and_then(Value::as_str) {
            let value = value.as_str().unwrap_or_default();
            text = format!("{text} `{value}`: {meaning}");
        }
        values.push(value.clone());
    }
    schema.remove("oneOf");
    schema.insert("type".to_owned(), "string".into());
    schema.insert("enum".to_owned(), values.into());
    schema.insert("description".to_owned(), text.trim_start().into());
}

/// Joins the lines of descriptions, and drops defaults of null, which stand for "absent".
fn plain_texts(schema: &mut Schema) {
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    }
    if schema.get("default").is_some_and(Value::is_null) {
        schema.remove("default");
    }
}

/// Takes `null` out of what an optional member may be.
fn refuse_null(schema: &mut Schema) {
    if let Some(Value::Array(kinds)) = schema.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [kind] = kinds.as_slice() {
            let kind = kind.clone();
            schema.insert("type".to_owned(), kind);
        }
    }
    if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
        choices.retain(|choice| choice.get("type").is_none_or(|kind| kind != "null"));
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            schema.remove("anyOf");
            for (keyword, value) in only {
                schema.insert(keyword, value);
            }
        }
    }
}

/// A compiled JSON Schema.
pub struct Validator {
    compiled: jsonschema::Validator,
    document: Value,
}

/// A schema that can not be used, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: {reason}")]
pub struct SchemaError {
    /// Where in the schema, as a JSON pointer; `#` for the whole.
    pub pointer: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Validator {
    /// Compiles a schema. Costs from 0.1 to some milliseconds: keep the result.
    ///
    /// # Errors
    /// The document is not a JSON Schema, or refers to a document other than itself.
    ///
    /// ```
    /// use moorline_core::schema::Validator;
    /// use serde_json::json;
    ///
    /// let schema = Validator::compile(json!({"properties": {"count": {"type": "integer"}}}))?;
    /// let found = schema.check(&json!({"count": "3"}));
    /// assert_eq!(found[0].to_string(), "/count: must be an integer, not a string (schema)");
    /// # Ok::<(), moorline_core::schema::SchemaError>(())
    /// ```
    pub fn compile(document: Value) -> Result<Self, SchemaError> {
        let compiled = build(&document)?;
        Ok(Self { compiled, document })
    }

    /// Compiles a schema of [`all`]: without its annotations, which halves the time and can be done since
    /// no `const`, `enum` or `default` in it holds an object.
    pub(crate) fn compile_published(document: Value) -> Result<Self, SchemaError> {
        let mut bare = document.clone();
        drop_annotations(&mut bare);
        let compiled = build(&bare)?;
        Ok(Self { compiled, document })
    }

    /// Whether a document satisfies the schema.
    pub fn accepts(&self, instance: &Value) -> bool {
        self.compiled.is_valid(instance)
    }

    /// Everything about a document that does not satisfy the schema, under the rule `schema`. The texts
    /// hold no value of the document.
    pub fn check(&self, instance: &Value) -> Vec<Violation> {
        self.errors(instance)
            .into_iter()
            .map(|(violation, _)| violation)
            .collect()
    }

    /// As [`check`](Self::check), each with the place in the schema that refused.
    pub(crate) fn errors(&self, instance: &Value) -> Vec<(Violation, String)> {
        if self.accepts(instance) {
            return Vec::new();
        }
        let mut found = Vec::new();
        for error in self.compiled.iter_errors(instance) {
            let place = error.evaluation_path().to_string();
            for violation in explain::violations(&error, &self.document) {
                found.push((violation, place.clone()));
            }
        }
        found
    }
}

fn build(document: &Value) -> Result<jsonschema::Validator, SchemaError> {
    jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .should_validate_formats(true)
        .with_retriever(NothingElse)
        // Linear in the text, for schemas that others wrote.
        .with_pattern_options(jsonschema::PatternOptions::regex())
        .build(document)
        .map_err(|error| {
            let pointer = error.instance_path().to_string();
            SchemaError {
                pointer: if pointer.is_empty() {
                    "#".to_owned()
                } else {
                    pointer
                },
                reason: error.to_string(),
            }
        })
}

fn drop_annotations(value: &mut Value) {
    match value {
        Value::Object(members) => {
            // A property that is called like an annotation has a schema, which is no text.
            members.retain(|name, value| {
                !(matches!(name.as_str(), "description" | "title") && value.is_string())
                    && (name != "default" || value.is_object())
            });
            members.values_mut().for_each(drop_annotations);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_annotations),
        _ => {}
    }
}

impl fmt::Debug for Validator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Validator")
            .field("document", &self.document)
            .finish_non_exhaustive()
    }
}

/// Refuses every document but the schema itself.
struct NothingElse;

impl jsonschema::Retrieve for NothingElse {
    fn retrieve(
        &self,
        uri: &jsonschema::Uri<String>,
    ) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        Err(format!("`{uri}` is another document; put what it defines into `$defs`").into())
    }
}
