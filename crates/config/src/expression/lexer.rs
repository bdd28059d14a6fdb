//! Text to tokens.

use std::ops::Range;

use super::ExpressionError;

/// A token and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) span: Range<usize>,
}

/// A word, a literal or a sign.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum TokenKind {
    Name(String),
    Text(String),
    Integer(i64),
    Double(f64),
    Sign(&'static str),
    End,
}

/// Longer signs first.
const SIGNS: [&str; 24] = [
    "==", "!=", "<=", ">=", "&&", "||", "(", ")", "[", "]", "{", "}", ".", ",", ":", "?", "<", ">", "!", "+",
    "-", "*", "/", "%",
];

/// Splits an expression; the last token is [`TokenKind::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, ExpressionError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let (kind, length) = token(text, at, first)?;
        tokens.push(Token { kind, span: at..at + length });
        at += length;
    }
    tokens.push(Token { kind: TokenKind::End, span: text.len()..text.len() });
    Ok(tokens)
}

fn token(text: &str, at: usize, first: char) -> Result<(TokenKind, usize), ExpressionError> {
    let rest = &text[at..];
    if first.is_ascii_alphabetic() || first == '_' {
        let length =
            rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_').len();
        return Ok((TokenKind::Name(rest[..length].to_owned()), length));
    }
    if first.is_ascii_digit() {
        return number(rest, at);
    }
    if first == '"' || first == '\'' {
        return quoted(rest, at, first);
    }
    if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
        return Ok((TokenKind::Sign(sign), sign.len()));
    }
    let error =
        ExpressionError::new(format!("`{first}` means nothing in an expression"), at..at + first.len_utf8());
    Err(match first {
        '=' => error.hint("write `==` to compare"),
        '&' => error.hint("write `&&`"),
        '|' => error.hint("write `||`"),
        '$' => error.hint("names stand without `$`: `branch == 'main'`"),
        _ => error,
    })
}

fn number(rest: &str, at: usize) -> Result<(TokenKind, usize), ExpressionError> {
    let whole = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let fraction = rest[whole..].strip_prefix('.').map_or(0, |after| {
        let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if digits == 0 { 0 } else { digits + 1 }
    });
    let length = whole + fraction;
    let written = &rest[..length];
    let kind = if fraction == 0 {
        written.parse().map(TokenKind::Integer).ok()
    } else {
        written.parse().map(TokenKind::Double).ok()
    };
    let kind = kind.ok_or_else(|| ExpressionError::new("this number is too large", at..at + length))?;
    Ok((kind, length))
}

fn quoted(rest: &str, at: usize, quote: char) -> Result<(TokenKind, usize), ExpressionError> {
    let mut value = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((offset, c)) = chars.next() {
        if c == quote {
            return Ok((TokenKind::Text(value), offset + 1));
        }
        if c != '\\' {
            value.push(c);
            continue;
        }
        match chars.next() {
            Some((_, 'n')) => value.push('\n'),
            Some((_, 't')) => value.push('\t'),
            Some((_, escaped @ ('\\' | '\'' | '"'))) => value.push(escaped),
            _ => {
                let error = ExpressionError::new("unknown escape", at + offset..at + offset + 1);
                return Err(error.hint("the escapes are `\\\\`, `\\'`, `\\\"`, `\\n` and `\\t`"));
            }
        }
    }
    Err(ExpressionError::new("this text has no end", at..at + rest.len())
        .hint(format!("close it with `{quote}`")))
}
