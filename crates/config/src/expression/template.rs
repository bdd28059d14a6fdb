//! Text with `${{ }}` in it.

use std::ops::Range;

use super::{Expression, ExpressionError, Names, Scope, Value};

/// A parsed text.
#[derive(Debug, Clone)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Expression { expression: Expression, offset: usize },
}

impl Template {
    /// Parses a text.
    ///
    /// # Errors
    /// Fails with the place of the first mistake.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        let part = |segment| match segment {
            Segment::Text(range) => Ok(Part::Text(text[range].to_owned())),
            Segment::Expression { whole: _, inner } => {
                let offset = inner.start;
                let expression = Expression::parse(&text[inner]).map_err(|error| error.shifted(offset))?;
                Ok(Part::Expression { expression, offset })
            }
        };
        let parts = segments(text)?.into_iter().map(part).collect::<Result<_, _>>()?;
        Ok(Self { parts })
    }

    /// Checks the names in all its expressions.
    ///
    /// # Errors
    /// Fails with every name that does not exist.
    pub fn check(&self, names: &Names<'_>) -> Result<(), Vec<ExpressionError>> {
        let mut errors = Vec::new();
        for part in &self.parts {
            if let Part::Expression { expression, offset } = part
                && let Err(found) = expression.check(names)
            {
                errors.extend(found.into_iter().map(|error| error.shifted(*offset)));
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// Puts the values in. Unknown, as a whole, where a value is not known yet.
    ///
    /// # Errors
    /// Fails where an expression does.
    pub fn evaluate(&self, scope: &Scope) -> Result<Value, ExpressionError> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Expression { expression, offset } => {
                    match expression.evaluate(scope).map_err(|error| error.shifted(*offset))? {
                        unknown @ Value::Unknown(_) => return Ok(unknown),
                        value => text.push_str(&value.to_string()),
                    }
                }
            }
        }
        Ok(Value::Text(text))
    }
}

/// A part of a text with `${{ }}` in it.
#[derive(Debug)]
pub(super) enum Segment {
    /// As it stands.
    Text(Range<usize>),
    /// An expression, with and without the signs around it.
    Expression { whole: Range<usize>, inner: Range<usize> },
}

/// Splits a text.
pub(super) fn segments(text: &str) -> Result<Vec<Segment>, ExpressionError> {
    let mut segments = Vec::new();
    let mut at = 0;
    while let Some(open) = text[at..].find("${{").map(|open| at + open) {
        if open > at {
            segments.push(Segment::Text(at..open));
        }
        let start = open + 3;
        let Some(end) = closing(&text[start..]).map(|end| start + end) else {
            let error = ExpressionError::new("this `${{` has no end", open..text.len());
            return Err(error.hint("close it with `}}`"));
        };
        segments.push(Segment::Expression { whole: open..end + 2, inner: start..end });
        at = end + 2;
    }
    if at < text.len() {
        segments.push(Segment::Text(at..text.len()));
    }
    Ok(segments)
}

/// The `}}` that ends the expression: one that is in no text and closes no map.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut maps = 0_usize;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match (quote, c) {
            (Some(_), '\\') => {
                chars.next();
            }
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '{') => maps += 1,
            (None, '}') if maps > 0 => maps -= 1,
            (None, '}') if text[at..].starts_with("}}") => return Some(at),
            (None, _) => {}
        }
    }
    None
}
