//! Just enough of Rust's grammar to find the paths that code names.
//!
//! A whole parser would be a dependency for one test. This one knows comments, strings, characters,
//! raw strings, groups in braces and items under `#[cfg(test)]`; macros are read as they stand.

/// What follows each whole `path` and its `::` in the code.
pub(super) fn after<'c>(code: &'c str, path: &str) -> Vec<&'c str> {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    let found = code.match_indices(path).filter_map(|(at, _)| {
        let rest = code[at + path.len()..].trim_start().strip_prefix("::")?;
        let before = code[..at].trim_end();
        let whole = !before.ends_with(part) || before.len() < at;
        (whole && !before.ends_with("::")).then(|| rest.trim_start())
    });
    found.collect()
}

/// The first names of what follows `crate::`: one, or several in braces.
pub(super) fn heads(rest: &str) -> Vec<String> {
    let Some(group) = rest.strip_prefix('{') else {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
        return match &rest[..end.unwrap_or(rest.len())] {
            "" => vec!["*".to_owned()],
            name => vec![name.to_owned()],
        };
    };
    let mut depth = 0;
    let mut items = vec![String::new()];
    for c in group.chars() {
        match c {
            '}' if depth == 0 => break,
            ',' if depth == 0 => {
                items.push(String::new());
                continue;
            }
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        items.last_mut().expect("never empty").push(c);
    }
    let items = items.iter().map(|item| item.trim_start());
    items
        .filter(|item| !item.is_empty())
        .flat_map(heads)
        .collect()
}

/// Whether code contains the name as whole identifiers.
pub(super) fn names(code: &str, name: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(name)
        .any(|(at, _)| !code[..at].ends_with(part) && !code[at + name.len()..].starts_with(part))
}

/// The code without comments and without what is in quotes.
pub(super) fn without_text(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = comment(rest).or_else(|| quoted(rest, &code));
        match skipped {
            Some(len) => {
                code.push(' ');
                rest = &rest[len..];
            }
            None => {
                code.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    code
}

/// The length of the comment that the text begins with.
fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if !text.starts_with("/*") {
        return None;
    }
    let mut depth = 0;
    for (at, pair) in text.as_bytes().windows(2).enumerate() {
        match pair {
            b"/*" => depth += 1,
            b"*/" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at + 2);
        }
    }
    Some(text.len())
}

/// The length of the string or character that the text begins with, after the code so far.
fn quoted(text: &str, before: &str) -> Option<usize> {
    if let Some(raw) = text.strip_prefix('r') {
        let marks = raw.len() - raw.trim_start_matches('#').len();
        let starts = raw[marks..].starts_with('"');
        let inside_name = before.ends_with(|c: char| c.is_alphanumeric() && c != 'b');
        let end = format!("\"{}", "#".repeat(marks));
        let body = 1 + marks + 1;
        return (starts && !inside_name).then(|| {
            text[body..]
                .find(&end)
                .map_or(text.len(), |at| body + at + end.len())
        });
    }
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    if quote == '\'' {
        // 'x' and '\n' are characters, 'a without a second quote is a lifetime.
        let mut inside = text[1..].chars();
        let escaped = inside.next() == Some('\\');
        if !escaped && inside.next() != Some('\'') {
            return None;
        }
    }
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if c == quote && !escaped {
            return Some(at + 1);
        }
        escaped = c == '\\' && !escaped;
    }
    Some(text.len())
}

/// The code without the items under `#[cfg(test)]`.
pub(super) fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut kept = String::with_capacity(code.len());
    let mut rest = code;
    while let Some((before, item)) = rest.split_once(MARK) {
        kept.push_str(before);
        rest = &item[item_len(item)..];
    }
    kept + rest
}

/// The length of the item that code begins with: up to its semicolon or its closing brace.
fn item_len(code: &str) -> usize {
    let mut depth = 0;
    for (at, c) in code.char_indices() {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => depth -= 1,
            _ => {}
        }
        let ends = matches!(c, ';' | '}') && depth == 0;
        if ends {
            return at + 1;
        }
    }
    code.len()
}
