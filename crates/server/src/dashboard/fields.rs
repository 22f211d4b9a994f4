//! What a form or a query says: names and values, in their order.

use axum::Form;
use axum::extract::{FromRequest, Request};
use moorline_api::ApiError;
use moorline_core::error_code::ErrorCode;
use serde::Deserialize;

use super::fault::Fault;

/// The fields of a form (`POST`) or of a query (`GET`). What is there but empty counts as absent: that is what
/// browsers send for an input that nobody filled in.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    /// The first value of a name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self
            .0
            .iter()
            .find(|(key, value)| key == name && !value.trim().is_empty())?;
        Some(value.trim())
    }

    /// The same, owned.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(str::to_owned)
    }

    /// A value that has to be there.
    pub(crate) fn need(&self, name: &str) -> Result<&str, Fault> {
        self.get(name).ok_or_else(|| {
            let message = format!("the form has no `{name}`");
            ApiError::new(ErrorCode::Usage, message)
                .hint("go back, fill it in, and send it again")
                .into()
        })
    }

    /// A value that has to be read as something.
    pub(crate) fn parse<T>(&self, name: &str) -> Result<Option<T>, Fault>
    where
        T: std::str::FromStr,
        T::Err: std::fmt::Display,
    {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        let read = text.parse().map(Some);
        read.map_err(|error: T::Err| {
            ApiError::new(ErrorCode::Usage, format!("`{name}`: {error}")).into()
        })
    }

    /// Every field whose name begins with `prefix`, without it.
    pub(crate) fn with_prefix(&self, prefix: &str) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .filter_map(move |(key, value)| Some((key.strip_prefix(prefix)?, value.as_str())))
    }

    /// The query of the same page with one field set anew: for links to the next page of a list.
    pub(crate) fn with(&self, name: &str, value: &str) -> String {
        let kept = self
            .0
            .iter()
            .filter(|(key, value)| key != name && key != "done" && !value.trim().is_empty());
        let mut query = String::from("?");
        for (key, value) in kept
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .chain([(name, value)])
        {
            if query.len() > 1 {
                query.push('&');
            }
            query.push_str(&encoded(key));
            query.push('=');
            query.push_str(&encoded(value));
        }
        query
    }
}

/// Text as it stands in a path or a query.
pub(crate) fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Fault;

    async fn from_request(request: Request, state: &S) -> Result<Self, Fault> {
        match Form::from_request(request, state).await {
            Ok(Form(fields)) => Ok(fields),
            Err(rejection) => Err(ApiError::new(ErrorCode::Usage, rejection.body_text()).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Fields(pairs.iter().map(owned).collect())
    }

    #[test]
    fn an_empty_field_counts_as_absent() {
        let fields = fields(&[("job", " "), ("status", "failed"), ("input.a", "1")]);
        assert_eq!(fields.get("job"), None);
        assert_eq!(fields.get("status"), Some("failed"));
        let inputs: Vec<_> = fields.with_prefix("input.").collect();
        assert_eq!(inputs, [("a", "1")]);
    }

    #[test]
    fn a_link_to_the_next_page_keeps_the_filter_and_drops_the_notice() {
        let fields = fields(&[
            ("job", "a&b"),
            ("before", "1"),
            ("done", "stopped"),
            ("x", ""),
        ]);
        assert_eq!(fields.with("before", "2"), "?job=a%26b&before=2");
    }
}
