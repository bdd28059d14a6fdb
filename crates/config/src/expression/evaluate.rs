//! A tree and a scope to a value.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::parser::{Ast, Macro, Method, Node, Operator, regular};
use super::value::Value;
use super::{ExpressionError, Scope};

/// The most nodes that one evaluation may visit.
const MAX_STEPS: usize = 10_000;

/// The longest text that it may build.
const MAX_TEXT: usize = 64 * 1024;

type Outcome = Result<Value, ExpressionError>;

/// Evaluates the tree.
pub(super) fn evaluate(root: &Ast, scope: &Scope) -> Outcome {
    Evaluation { scope, bound: Vec::new(), steps: 0 }.value(root)
}

struct Evaluation<'s> {
    scope: &'s Scope,
    /// Variables of the macros around, innermost last.
    bound: Vec<(String, Value)>,
    steps: usize,
}

impl Evaluation<'_> {
    fn value(&mut self, ast: &Ast) -> Outcome {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Err(ExpressionError::new("this expression takes too many steps", ast.span.clone()));
        }
        match &ast.node {
            Node::Literal(value) => Ok(value.clone()),
            Node::List(items) => {
                items.iter().map(|item| self.value(item)).collect::<Result<_, _>>().map(Value::List)
            }
            Node::Map(entries) => self.map(entries),
            Node::Name(name) => self.name(name, ast),
            Node::Field(of, field) => {
                let of = self.value(of)?;
                select(of, field, ast)
            }
            Node::Index(of, index) => {
                let (of, index) = (self.value(of)?, self.value(index)?);
                item(of, index, ast)
            }
            Node::Not(operand) => match self.value(operand)? {
                Value::Boolean(value) => Ok(Value::Boolean(!value)),
                unknown @ Value::Unknown(_) => Ok(unknown),
                other => Err(mismatch("`!` needs a boolean", &other, operand)),
            },
            Node::Negate(operand) => match self.value(operand)? {
                Value::Integer(value) => value.checked_neg().map(Value::Integer).ok_or_else(|| overflow(ast)),
                Value::Double(value) => Ok(Value::Double(-value)),
                unknown @ Value::Unknown(_) => Ok(unknown),
                other => Err(mismatch("`-` needs a number", &other, operand)),
            },
            Node::Binary(operator @ (Operator::And | Operator::Or), left, right) => {
                self.logic(*operator, left, right)
            }
            Node::Binary(operator, left, right) => {
                let (left, right) = (self.value(left)?, self.value(right)?);
                binary(*operator, left, right, ast)
            }
            Node::Ternary(condition, then, otherwise) => match self.value(condition)? {
                Value::Boolean(true) => self.value(then),
                Value::Boolean(false) => self.value(otherwise),
                unknown @ Value::Unknown(_) => Ok(unknown),
                other => Err(mismatch("`?` needs a boolean", &other, condition)),
            },
            Node::Has(field) => self.has(field),
            Node::Size(of) => self.size(of),
            Node::Method(method, receiver, arguments) => self.method(*method, receiver, arguments),
            Node::Macro(kind, list, variable, body) => self.each(*kind, list, variable, body),
        }
    }

    fn map(&mut self, entries: &[(Ast, Ast)]) -> Outcome {
        let mut map = BTreeMap::new();
        for (key, value) in entries {
            match self.value(key)? {
                Value::Text(name) => {
                    map.insert(name, self.value(value)?);
                }
                unknown @ Value::Unknown(_) => return Ok(unknown),
                other => return Err(mismatch("a key must be text", &other, key)),
            }
        }
        Ok(Value::Map(map))
    }

    fn name(&self, name: &str, ast: &Ast) -> Outcome {
        let bound = self.bound.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value);
        let found = bound.or_else(|| self.scope.variables.get(name));
        found
            .cloned()
            .ok_or_else(|| ExpressionError::new(format!("`{name}` is not known here"), ast.span.clone()))
    }

    /// Either side may decide alone; an unknown or an error on the other does not matter then, as CEL has it.
    fn logic(&mut self, operator: Operator, left: &Ast, right: &Ast) -> Outcome {
        let decides = operator == Operator::Or;
        let left_value = self.boolean(left);
        if matches!(left_value, Ok(Value::Boolean(value)) if value == decides) {
            return left_value;
        }
        let right_value = self.boolean(right);
        if matches!(right_value, Ok(Value::Boolean(value)) if value == decides) {
            return right_value;
        }
        match (left_value?, right_value?) {
            (unknown @ Value::Unknown(_), _) | (_, unknown) => Ok(unknown),
        }
    }

    fn boolean(&mut self, ast: &Ast) -> Outcome {
        match self.value(ast)? {
            value @ (Value::Boolean(_) | Value::Unknown(_)) => Ok(value),
            other => Err(mismatch("a condition must be true or false", &other, ast)),
        }
    }

    fn has(&mut self, field: &Ast) -> Outcome {
        let Node::Field(of, name) = &field.node else {
            return Err(ExpressionError::new("`has` asks for a field", field.span.clone()));
        };
        match self.value(of)? {
            Value::Map(entries) => Ok(Value::Boolean(entries.contains_key(name))),
            unknown @ Value::Unknown(_) => Ok(unknown),
            other => Err(mismatch("only a map has fields", &other, of)),
        }
    }

    fn size(&mut self, of: &Ast) -> Outcome {
        let size = match self.value(of)? {
            Value::Text(text) => text.chars().count(),
            Value::List(items) => items.len(),
            Value::Map(entries) => entries.len(),
            unknown @ Value::Unknown(_) => return Ok(unknown),
            other => return Err(mismatch("`size` needs text, a list or a map", &other, of)),
        };
        Ok(Value::Integer(i64::try_from(size).unwrap_or(i64::MAX)))
    }

    fn method(&mut self, method: Method, receiver: &Ast, arguments: &[Ast]) -> Outcome {
        let text = match self.value(receiver)? {
            Value::Text(text) => text,
            unknown @ Value::Unknown(_) => return Ok(unknown),
            other => return Err(mismatch("this function belongs to text", &other, receiver)),
        };
        let Some(argument) = arguments.first() else { return Ok(Value::Text(text.to_ascii_lowercase())) };
        let part = match self.value(argument)? {
            Value::Text(part) => part,
            unknown @ Value::Unknown(_) => return Ok(unknown),
            other => return Err(mismatch("this function takes text", &other, argument)),
        };
        Ok(match method {
            Method::StartsWith => Value::Boolean(text.starts_with(&part)),
            Method::EndsWith => Value::Boolean(text.ends_with(&part)),
            Method::Contains => Value::Boolean(text.contains(&part)),
            Method::Matches => {
                // Reading a pattern is dear, so an expression may do it a hundred times.
                self.steps += MAX_STEPS / 100;
                Value::Boolean(regular(&part, &argument.span)?.is_match(&text))
            }
            Method::LowerAscii => Value::Text(text.to_ascii_lowercase()),
        })
    }

    fn each(&mut self, kind: Macro, list: &Ast, variable: &str, body: &Ast) -> Outcome {
        let items = match self.value(list)? {
            Value::List(items) => items,
            Value::Map(entries) => entries.into_keys().map(Value::Text).collect(),
            unknown @ Value::Unknown(_) => return Ok(unknown),
            other => return Err(mismatch("this macro belongs to a list", &other, list)),
        };
        let mut results = Vec::with_capacity(items.len());
        for item in items {
            self.bound.push((variable.to_owned(), item.clone()));
            let result = if kind == Macro::Map { self.value(body) } else { self.boolean(body) };
            self.bound.pop();
            results.push((item, result?));
        }
        Ok(collect(kind, results))
    }
}

fn collect(kind: Macro, results: Vec<(Value, Value)>) -> Value {
    let unknown = results
        .iter()
        .find(|(_, result)| matches!(result, Value::Unknown(_)))
        .map(|(_, result)| result.clone());
    let decides = |wanted: bool| results.iter().any(|(_, result)| *result == Value::Boolean(wanted));
    match kind {
        Macro::All if decides(false) => Value::Boolean(false),
        Macro::Exists if decides(true) => Value::Boolean(true),
        Macro::All => unknown.unwrap_or(Value::Boolean(true)),
        Macro::Exists => unknown.unwrap_or(Value::Boolean(false)),
        Macro::Map => Value::List(results.into_iter().map(|(_, result)| result).collect()),
        Macro::Filter => unknown.unwrap_or_else(|| {
            let kept = results.into_iter().filter(|(_, result)| *result == Value::Boolean(true));
            Value::List(kept.map(|(item, _)| item).collect())
        }),
    }
}

fn select(of: Value, field: &str, ast: &Ast) -> Outcome {
    match of {
        Value::Map(mut entries) => entries.remove(field).ok_or_else(|| {
            ExpressionError::new(format!("there is no `{field}`"), ast.span.clone())
                .hint("ask with `has(...)` first")
        }),
        unknown @ Value::Unknown(_) => Ok(unknown),
        other => Err(mismatch("only a map has fields", &other, ast)),
    }
}

fn item(of: Value, index: Value, ast: &Ast) -> Outcome {
    match (of, index) {
        (unknown @ Value::Unknown(_), _) | (_, unknown @ Value::Unknown(_)) => Ok(unknown),
        (of @ Value::Map(_), Value::Text(key)) => select(of, &key, ast),
        (Value::List(items), Value::Integer(index)) => {
            let found = usize::try_from(index).ok().and_then(|index| items.get(index).cloned());
            found.ok_or_else(|| ExpressionError::new(format!("there is no item {index}"), ast.span.clone()))
        }
        (of, _) => Err(mismatch("only lists and maps have items", &of, ast)),
    }
}

fn binary(operator: Operator, left: Value, right: Value, ast: &Ast) -> Outcome {
    if let unknown @ Value::Unknown(_) = left {
        return Ok(unknown);
    }
    if let unknown @ Value::Unknown(_) = right {
        return Ok(unknown);
    }
    match operator {
        Operator::Equal => Ok(Value::Boolean(equal(&left, &right))),
        Operator::NotEqual => Ok(Value::Boolean(!equal(&left, &right))),
        Operator::In => contains(&right, &left, ast),
        Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => {
            let ordering =
                compare(&left, &right).ok_or_else(|| pair(&left, &right, "cannot be compared", ast))?;
            Ok(Value::Boolean(match operator {
                Operator::Less => ordering == Ordering::Less,
                Operator::LessOrEqual => ordering != Ordering::Greater,
                Operator::Greater => ordering == Ordering::Greater,
                _ => ordering != Ordering::Less,
            }))
        }
        _ => arithmetic(operator, left, right, ast),
    }
}

fn equal(left: &Value, right: &Value) -> bool {
    compare(left, right).map_or_else(|| left == right, |ordering| ordering == Ordering::Equal)
}

fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    #[expect(clippy::cast_precision_loss, reason = "CEL compares whole and other numbers by value")]
    match (left, right) {
        (Value::Integer(left), Value::Integer(right)) => Some(left.cmp(right)),
        (Value::Integer(left), Value::Double(right)) => (*left as f64).partial_cmp(right),
        (Value::Double(left), Value::Integer(right)) => left.partial_cmp(&(*right as f64)),
        (Value::Double(left), Value::Double(right)) => left.partial_cmp(right),
        (Value::Text(left), Value::Text(right)) => Some(left.cmp(right)),
        (Value::Boolean(left), Value::Boolean(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

fn contains(within: &Value, what: &Value, ast: &Ast) -> Outcome {
    match within {
        Value::List(items) => Ok(Value::Boolean(items.iter().any(|item| equal(item, what)))),
        Value::Map(entries) => {
            Ok(Value::Boolean(matches!(what, Value::Text(key) if entries.contains_key(key))))
        }
        other => Err(mismatch("`in` looks into a list or a map", other, ast)),
    }
}

fn arithmetic(operator: Operator, left: Value, right: Value, ast: &Ast) -> Outcome {
    match (left, right) {
        (Value::Integer(left), Value::Integer(right)) => {
            let result = match operator {
                Operator::Add => left.checked_add(right),
                Operator::Subtract => left.checked_sub(right),
                Operator::Multiply => left.checked_mul(right),
                Operator::Divide => left.checked_div(right),
                _ => left.checked_rem(right),
            };
            result.map(Value::Integer).ok_or_else(|| overflow(ast))
        }
        (Value::Double(left), Value::Double(right)) => Ok(Value::Double(match operator {
            Operator::Add => left + right,
            Operator::Subtract => left - right,
            Operator::Multiply => left * right,
            Operator::Divide => left / right,
            _ => left % right,
        })),
        (Value::Text(left), Value::Text(right)) if operator == Operator::Add => {
            if left.len() + right.len() > MAX_TEXT {
                return Err(ExpressionError::new("this text grows too long", ast.span.clone()));
            }
            Ok(Value::Text(left + &right))
        }
        (Value::List(left), Value::List(right)) if operator == Operator::Add => {
            Ok(Value::List(left.into_iter().chain(right).collect()))
        }
        (left, right) => Err(pair(&left, &right, "do not fit this operator", ast)),
    }
}

fn pair(left: &Value, right: &Value, what: &str, ast: &Ast) -> ExpressionError {
    ExpressionError::new(format!("{} and {} {what}", left.kind(), right.kind()), ast.span.clone())
}

fn mismatch(wanted: &str, found: &Value, ast: &Ast) -> ExpressionError {
    ExpressionError::new(format!("{wanted}, and this is {}", found.kind()), ast.span.clone())
}

fn overflow(ast: &Ast) -> ExpressionError {
    ExpressionError::new("this number does not fit, or divides by zero", ast.span.clone())
}
