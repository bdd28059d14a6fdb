//! Values put into expressions before the Run: those of a cell of a matrix, and parameters of a template.
//!
//! They are put in as values of CEL, never as text of CEL or of a script.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::parser::{Ast, Node};
use super::template::{Segment, segments};
use super::{Expression, ExpressionError, Scope, Value};
use crate::diagnostic::{closest, quote};

/// What a name stands for.
#[derive(Debug, Clone)]
pub(crate) enum Given {
    /// A value.
    Value(Value),
    /// CEL, which is evaluated in the Run.
    Expression(String),
    /// Text with `${{ }}` in it.
    Mixed(String),
}

impl Given {
    /// What a value of the file stands for.
    pub(crate) fn of(text: &str) -> Self {
        if !text.contains("${{") {
            return Self::Value(Value::from(text));
        }
        match segments(text.trim()).as_deref() {
            Ok([Segment::Expression { inner, .. }]) => {
                Self::Expression(text.trim().get(inner.clone()).unwrap_or_default().trim().to_owned())
            }
            _ => Self::Mixed(text.to_owned()),
        }
    }

    /// As the value of an environment variable.
    pub(crate) fn as_text(&self) -> String {
        match self {
            Self::Value(value) => value.to_string(),
            Self::Expression(inner) => format!("${{{{ {inner} }}}}"),
            Self::Mixed(text) => text.clone(),
        }
    }
}

/// Evaluates every `${{ }}` that asks for nothing but `root`; others stay. `None` where all stay.
///
/// # Errors
/// Fails where an expression does.
pub(crate) fn settle(
    text: &str,
    root: &str,
    values: &BTreeMap<String, Value>,
) -> Result<Option<String>, ExpressionError> {
    let mut settled = String::new();
    let mut changed = false;
    let scope = Scope::default().with(root, Value::Map(values.clone()));
    for segment in segments(text)? {
        match segment {
            Segment::Text(range) => settled.push_str(&text[range]),
            Segment::Expression { whole, inner } => {
                let expression =
                    Expression::parse(&text[inner.clone()]).map_err(|error| error.shifted(inner.start))?;
                if free_names(&expression.root) == BTreeSet::from([root]) {
                    let value = expression.evaluate(&scope).map_err(|error| error.shifted(inner.start))?;
                    settled.push_str(&value.to_string());
                    changed = true;
                } else {
                    settled.push_str(&text[whole]);
                }
            }
        }
    }
    Ok(changed.then_some(settled))
}

/// Puts what is given for `root.NAME` in its place within every `${{ }}`. `None` where nothing asks for it.
///
/// # Errors
/// Fails where a name is not given, or a text with `${{ }}` in it would become part of an expression.
pub(crate) fn inline(
    text: &str,
    root: &str,
    given: &BTreeMap<String, Given>,
) -> Result<Option<String>, ExpressionError> {
    let mut inlined = String::new();
    let mut changed = false;
    for segment in segments(text)? {
        match segment {
            Segment::Text(range) => inlined.push_str(&text[range]),
            Segment::Expression { whole, inner } => {
                let offset = inner.start;
                let expression =
                    Expression::parse(&text[inner.clone()]).map_err(|error| error.shifted(offset))?;
                let mut asked = Vec::new();
                collect(&expression.root, root, &mut asked);
                if asked.is_empty() {
                    inlined.push_str(&text[whole]);
                    continue;
                }
                changed = true;
                let part = replace(&text[inner], &expression.root, root, &asked, given);
                inlined.push_str(&part.map_err(|error| error.shifted(offset))?);
            }
        }
    }
    Ok(changed.then_some(inlined))
}

/// The whole `${{ }}` with what is given in the places that ask for it.
fn replace(
    cel: &str,
    ast: &Ast,
    root: &str,
    asked: &[(Range<usize>, String)],
    given: &BTreeMap<String, Given>,
) -> Result<String, ExpressionError> {
    let find = |span: &Range<usize>, name: &str| {
        given.get(name).ok_or_else(|| {
            let error = ExpressionError::new(format!("there is no `{root}.{}`", quote(name)), span.clone());
            error.hint(match closest(name, given.keys().map(String::as_str)) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("declare it: `{root}: {{ {}: {{ type: string }} }}`", quote(name)),
            })
        })
    };
    if let [(span, name)] = asked
        && *span == ast.span
    {
        return Ok(find(span, name)?.as_text());
    }
    let mut written = String::new();
    let mut at = 0;
    for (span, name) in asked {
        written.push_str(&cel[at..span.start]);
        match find(span, name)? {
            Given::Value(value) => written.push_str(&literal(value)),
            Given::Expression(inner) => written.push_str(&format!("({inner})")),
            Given::Mixed(_) => {
                let error = ExpressionError::new(
                    format!(
                        "`{root}.{name}` is given as a text with `${{{{ }}}}` in it, and cannot be part of an expression"
                    ),
                    span.clone(),
                );
                return Err(error.hint(format!("use it alone: `${{{{ {root}.{name} }}}}`")));
            }
        }
        at = span.end;
    }
    written.push_str(&cel[at..]);
    Ok(format!("${{{{{written}}}}}"))
}

/// A value as CEL writes it.
fn literal(value: &Value) -> String {
    match value {
        Value::Text(text) => {
            let mut quoted = String::from("'");
            for c in text.chars() {
                match c {
                    '\\' => quoted.push_str("\\\\"),
                    '\'' => quoted.push_str("\\'"),
                    '\n' => quoted.push_str("\\n"),
                    '\t' => quoted.push_str("\\t"),
                    c => quoted.push(c),
                }
            }
            quoted + "'"
        }
        Value::Integer(number) if *number < 0 => format!("({number})"),
        Value::Null => "null".to_owned(),
        other => other.to_string(),
    }
}

/// The places of `root.NAME` and `root['NAME']`, in the order of the text.
fn collect(ast: &Ast, root: &str, found: &mut Vec<(Range<usize>, String)>) {
    let is_root = |of: &Ast| matches!(&of.node, Node::Name(name) if name == root);
    match &ast.node {
        Node::Field(of, field) if is_root(of) => found.push((ast.span.clone(), field.clone())),
        Node::Index(of, index) if is_root(of) => {
            if let Node::Literal(Value::Text(name)) = &index.node {
                found.push((ast.span.clone(), name.clone()));
            }
        }
        _ => ast.children().into_iter().for_each(|child| collect(child, root, found)),
    }
}

/// The names that an expression asks the Run for.
fn free_names(ast: &Ast) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    let mut bound = BTreeSet::new();
    let mut open = vec![ast];
    while let Some(ast) = open.pop() {
        match &ast.node {
            Node::Name(name) => {
                names.insert(name.as_str());
            }
            Node::Macro(_, _, variable, _) => {
                bound.insert(variable.as_str());
            }
            _ => {}
        }
        open.extend(ast.children());
    }
    names.difference(&bound).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, wanted: &str) {
        let given = BTreeMap::from([
            ("name".to_owned(), Given::of("it's")),
            ("count".to_owned(), Given::Value(Value::Integer(-2))),
            ("sure".to_owned(), Given::Value(Value::Boolean(true))),
            ("late".to_owned(), Given::of("${{ branch + '-x' }}")),
            ("mixed".to_owned(), Given::of("v${{ tag }}")),
        ]);
        let got = match inline(text, "parameters", &given) {
            Ok(Some(text)) => text,
            Ok(None) => "unchanged".to_owned(),
            Err(error) => format!("{}: {}", &text[error.span.clone()], error.message),
        };
        assert_eq!(got, wanted, "{text}");
    }

    #[test]
    fn parameters_come_in_as_values() {
        check("plain", "unchanged");
        check("${{ branch }}", "unchanged");
        check("a ${{ parameters.name }} b", "a it's b");
        check("${{ parameters.name + branch }}", "${{ 'it\\'s' + branch }}");
        check("${{ parameters['count'] + 1 }}", "${{ (-2) + 1 }}");
        check("${{ parameters.sure ? 'a' : 'b' }}", "${{ true ? 'a' : 'b' }}");
        check("${{ parameters.late }}", "${{ branch + '-x' }}");
        check("${{ parameters.late == 'y' }}", "${{ (branch + '-x') == 'y' }}");
        check("x${{ parameters.mixed }}", "xv${{ tag }}");
        check(
            "${{ parameters.mixed + '' }}",
            "parameters.mixed: `parameters.mixed` is given as a text with `${{ }}` in it, and cannot be part of an expression",
        );
        check("${{ parameters.nmae }}", "parameters.nmae: there is no `parameters.nmae`");
    }

    #[test]
    fn settles_only_what_it_knows() {
        let values = BTreeMap::from([("os".to_owned(), Value::from("linux"))]);
        let settled = |text: &str| settle(text, "matrix", &values).map(|text| text.unwrap_or_default());
        assert_eq!(settled("shop-${{ matrix.os }}-${{ branch }}").as_deref(), Ok("shop-linux-${{ branch }}"));
        assert_eq!(settled("${{ matrix.os == 'mac' ? 'big' : 'small' }}").as_deref(), Ok("small"));
        assert_eq!(settled("${{ matrix.os + branch }}").as_deref(), Ok(""));
        assert!(settled("${{ matrix.no }}").is_err());
    }
}
