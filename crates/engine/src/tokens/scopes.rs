//! Scopes of a token: names of operations (`run.get`), areas (`run.*`), or `*`.

use moorline_api::{ApiError, Operation};
use moorline_core::denial::Denial;
use moorline_core::error_code::ErrorCode;

/// Everything.
const ALL: &str = "*";

/// How alike a name must be to be what was meant.
const ALIKE: f64 = 0.85;

/// The scopes of a new token, sorted, each once; `*` where none are asked for.
///
/// # Errors
/// [`ErrorCode::Usage`] for what names no operation and no area, with what was perhaps meant.
pub(super) fn checked(asked: &[String]) -> Result<Vec<String>, ApiError> {
    if asked.is_empty() {
        return Ok(vec![ALL.to_owned()]);
    }
    if let Some(unknown) = asked.iter().find(|scope| !is_known(scope)) {
        let message = format!("the scope `{unknown}` names no operation (D-AUDIT-2)");
        let hint = meant(unknown).map_or_else(
            || "scopes are operations such as `run.get`, areas such as `run.*`, or `*`".to_owned(),
            |meant| format!("did you mean `{meant}`?"),
        );
        return Err(ApiError::new(ErrorCode::Usage, message).hint(hint));
    }
    let mut scopes = asked.to_vec();
    scopes.sort();
    scopes.dedup();
    Ok(scopes)
}

/// Refuses scopes that reach beyond those of the token that asks for them.
pub(super) fn within(wanted: &[String], held: &[String]) -> Result<(), Denial> {
    let covers = |held: &String, wanted: &str| match held.strip_suffix(ALL) {
        Some(area) => wanted.starts_with(area),
        None => held == wanted,
    };
    let beyond = wanted
        .iter()
        .find(|scope| !held.iter().any(|held| covers(held, scope)));
    let Some(beyond) = beyond else {
        return Ok(());
    };
    let message = format!("the scope `{beyond}` reaches beyond those of the token that asks");
    Err(Denial::new(ErrorCode::Forbidden, "D-AUDIT-2", message)
        .hint("ask for less, or with a token whose scopes reach as far"))
}

fn is_known(scope: &str) -> bool {
    scope == ALL || candidates().any(|known| known == scope)
}

/// Every operation, then every area.
fn candidates() -> impl Iterator<Item = String> {
    let names = Operation::ALL.iter().map(|operation| operation.as_str());
    let areas = names.clone().filter_map(|name| name.split_once('.'));
    names
        .map(str::to_owned)
        .chain(areas.map(|(area, _)| format!("{area}.*")))
}

fn meant(unknown: &str) -> Option<String> {
    let unknown = unknown.to_lowercase();
    candidates()
        .map(|known| (strsim::jaro_winkler(&unknown, &known), known))
        .filter(|(score, _)| *score >= ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn scopes_name_operations_areas_or_everything() {
        assert_eq!(checked(&[]).unwrap(), scopes(&["*"]));
        let asked = scopes(&["run.submit", "run.get", "stop.*", "health", "run.get"]);
        let sorted = scopes(&["health", "run.get", "run.submit", "stop.*"]);
        assert_eq!(checked(&asked).unwrap(), sorted);
    }

    #[test]
    fn an_unknown_scope_is_refused_with_what_was_perhaps_meant() {
        let hint = |scope: &str| checked(&scopes(&[scope])).unwrap_err().hint.unwrap();
        assert_eq!(hint("run.submitt"), "did you mean `run.submit`?");
        assert_eq!(hint("Run.List"), "did you mean `run.list`?");
        assert_eq!(hint("artifacts.*"), "did you mean `artifact.*`?");
        assert!(hint("everything").starts_with("scopes are operations"));
        for odd in ["", "run*", "r*", "run.", "health.*", "**"] {
            assert_eq!(
                checked(&scopes(&[odd])).unwrap_err().code,
                ErrorCode::Usage,
                "{odd}"
            );
        }
    }

    #[test]
    fn a_token_gives_no_scope_that_it_has_not() {
        let held = scopes(&["run.*", "token.create"]);
        assert!(within(&scopes(&["run.get", "run.*", "token.create"]), &held).is_ok());
        assert!(within(&scopes(&["secret.set"]), &scopes(&["*"])).is_ok());
        for beyond in ["*", "token.*", "stop.engage"] {
            assert!(within(&scopes(&[beyond]), &held).is_err(), "{beyond}");
        }
    }
}
