//! Checks expressions that know a fixed set of maps, as those of Gates do.

use super::ExpressionError;
use super::parser::{Ast, Node};
use crate::diagnostic::{closest, quote};

/// A name and the fields of its map.
pub(crate) type Known = (&'static str, &'static [&'static str]);

/// Every name that does not exist, and every field that a map does not have.
pub(super) fn unknown(root: &Ast, known: &[Known]) -> Vec<ExpressionError> {
    let mut checker = Checker { known, bound: Vec::new(), errors: Vec::new() };
    checker.visit(root);
    checker.errors
}

struct Checker<'k> {
    known: &'k [Known],
    /// Variables of the macros around.
    bound: Vec<String>,
    errors: Vec<ExpressionError>,
}

impl Checker<'_> {
    fn visit(&mut self, ast: &Ast) {
        match &ast.node {
            Node::Name(name) => self.name(name, ast),
            Node::Field(of, field) => {
                if let Node::Name(name) = &of.node {
                    self.field(name, field, ast);
                }
                self.visit(of);
            }
            Node::Macro(_, list, variable, body) => {
                self.visit(list);
                self.bound.push(variable.clone());
                self.visit(body);
                self.bound.pop();
            }
            _ => ast.children().into_iter().for_each(|child| self.visit(child)),
        }
    }

    fn name(&mut self, name: &str, ast: &Ast) {
        if self.bound.iter().any(|bound| bound == name) || self.known.iter().any(|(known, _)| *known == name)
        {
            return;
        }
        let names = self.known.iter().map(|(name, _)| *name);
        let hint = match closest(name, names.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => {
                format!("the names are `{}`; text stands in quotes", names.collect::<Vec<_>>().join("`, `"))
            }
        };
        let error = ExpressionError::new(format!("there is no `{}`", quote(name)), ast.span.clone());
        self.errors.push(error.hint(hint));
    }

    fn field(&mut self, name: &str, field: &str, ast: &Ast) {
        let Some((_, fields)) = self.known.iter().find(|(known, _)| *known == name) else { return };
        if fields.contains(&field) {
            return;
        }
        let hint = match closest(field, fields.iter().copied()) {
            Some(near) => format!("did you mean `{name}.{near}`?"),
            None => format!("`{name}` has `{}`", fields.join("`, `")),
        };
        let error = ExpressionError::new(format!("`{name}` has no `{}`", quote(field)), ast.span.clone());
        self.errors.push(error.hint(hint));
    }
}
