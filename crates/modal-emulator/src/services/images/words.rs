//! Words of a Dockerfile's line: quotes, escapes and variables.

use std::collections::BTreeMap;

/// Splits at white space outside of quotes; quotes and escapes stay in the words.
pub(super) fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match (char, quote) {
            ('\\', None | Some('"')) => {
                word.push('\\');
                word.extend(chars.next());
            }
            ('\'' | '"', None) => {
                quote = Some(char);
                word.push(char);
            }
            (_, Some(open)) if char == open => {
                quote = None;
                word.push(char);
            }
            (_, None) if char.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            _ => word.push(char),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed".to_owned());
    }
    if !word.is_empty() {
        words.push(word);
    }
    Ok(words)
}

/// Takes quotes away and puts the values of variables in: `$a`, `${a}`, `${a:-other}`, `${a:+other}`.
pub(super) fn expand(word: &str, env: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(word.len());
    let mut chars = word.chars().peekable();
    let mut quote = None;
    while let Some(char) = chars.next() {
        match (char, quote) {
            ('\'' | '"', None) => quote = Some(char),
            (_, Some(open)) if char == open => quote = None,
            ('\\', None) => out.extend(chars.next()),
            ('\\', Some('"')) => match chars.next_if(|next| matches!(next, '"' | '\\' | '$')) {
                Some(next) => out.push(next),
                None => out.push('\\'),
            },
            ('$', None | Some('"')) => variable(&mut chars, env, &mut out),
            _ => out.push(char),
        }
    }
    out
}

fn variable(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    env: &BTreeMap<String, String>,
    out: &mut String,
) {
    let is_name = |char: &char| char.is_ascii_alphanumeric() || *char == '_';
    if chars.next_if_eq(&'{').is_none() {
        let mut name = String::new();
        while let Some(char) = chars.next_if(is_name) {
            name.push(char);
        }
        match name.as_str() {
            "" => out.push('$'),
            name => out.push_str(env.get(name).map_or("", String::as_str)),
        }
        return;
    }
    let mut inside = String::new();
    let mut depth = 1;
    for char in chars.by_ref() {
        match char {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        inside.push(char);
    }
    let end = inside
        .find(|char: char| !is_name(&char))
        .unwrap_or(inside.len());
    let (name, modifier) = inside.split_at(end);
    let value = env.get(name).map(String::as_str);
    let full = value.filter(|value| !value.is_empty());
    match (modifier.split_at_checked(2), modifier.split_at_checked(1)) {
        (Some((":-", other)), _) => {
            out.push_str(&full.map_or_else(|| expand(other, env), str::to_owned));
        }
        (Some((":+", other)), _) if full.is_some() => out.push_str(&expand(other, env)),
        (Some((":+", _)), _) => {}
        (_, Some(("-", other))) => {
            out.push_str(&value.map_or_else(|| expand(other, env), str::to_owned));
        }
        (_, Some(("+", other))) if value.is_some() => out.push_str(&expand(other, env)),
        (_, Some(("+", _))) => {}
        _ => out.push_str(value.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_and_quotes_are_expanded_as_in_a_dockerfile() {
        let env = BTreeMap::from([
            ("a".to_owned(), "1".to_owned()),
            ("e".to_owned(), String::new()),
        ]);
        let cases = [
            ("$a${a}x$none-", "11x-"),
            ("'$a'", "$a"),
            ("\"$a b\"", "1 b"),
            (r"\$a", "$a"),
            ("${none:-d}${e:-d}${a:-d}", "dd1"),
            ("${none:+d}${e:+d}${a:+d}", "d"),
            ("${e-d}${none-$a}", "1"),
            ("'it'\"'\"'s'", "it's"),
            ("100%$", "100%$"),
        ];
        for (word, expected) in cases {
            assert_eq!(expand(word, &env), expected, "{word}");
        }
    }
}
