//! Checks names before anything runs, so that a typo fails the push and not the night's deployment.

use std::ops::Range;

use super::ExpressionError;
use super::parser::{Ast, Node, Operator};
use super::value::Value;
use crate::diagnostic::{closest, quote};

/// The names that an expression may use.
#[derive(Debug, Clone, Copy)]
pub struct Names<'n> {
    /// Jobs under `needs`: those that the Job names itself.
    pub needs: &'n [&'n str],
    /// Jobs under `jobs`: all that end before this one starts.
    pub jobs: &'n [&'n str],
    /// Names under `matrix`; none where the Job has no matrix.
    pub matrix: &'n [&'n str],
    /// Inputs that `on.manual` declares.
    pub inputs: &'n [&'n str],
}

/// The names of every Run.
const RUN: [&str; 7] = ["ref", "branch", "tag", "event", "commit", "trust", "project"];

/// The maps that have their own checks.
const MAPS: [&str; 5] = ["needs", "jobs", "env", "matrix", "inputs"];

const EVENTS: &[&str] = &["push", "tag", "manual", "pull_request", "schedule", "release"];
const TRUST: &[&str] = &["protected", "internal", "fork"];
const OUTCOMES: &[&str] = &["passed", "failed", "skipped", "cancelled"];

pub(super) fn check(root: &Ast, names: &Names<'_>) -> Result<(), Vec<ExpressionError>> {
    let mut checker = Checker { names, bound: Vec::new(), errors: Vec::new() };
    checker.visit(root);
    if checker.errors.is_empty() { Ok(()) } else { Err(checker.errors) }
}

struct Checker<'n> {
    names: &'n Names<'n>,
    bound: Vec<String>,
    errors: Vec<ExpressionError>,
}

impl Checker<'_> {
    fn visit(&mut self, ast: &Ast) {
        match &ast.node {
            Node::Name(name) => self.name(name, &ast.span),
            Node::Field(of, field) => self.field(of, field, ast),
            Node::Binary(Operator::Equal | Operator::NotEqual, left, right) => {
                self.words(left, right);
                self.words(right, left);
                self.visit(left);
                self.visit(right);
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

    fn name(&mut self, name: &str, span: &Range<usize>) {
        let bound = self.bound.iter().any(|bound| bound == name);
        if bound || RUN.contains(&name) || MAPS.contains(&name) {
            return;
        }
        let hint = match name {
            "github" | "gitea" | "ci" => "the names are `ref`, `branch`, `tag`, `event`, `commit`, `trust` and `project`, without a prefix".to_owned(),
            "secrets" => "a secret cannot stand in an expression: list it under the Job's `secrets`, and it arrives as environment".to_owned(),
            "parameters" => "`parameters` stands in the Steps of a template only".to_owned(),
            "strategy" => "the values of a matrix are `matrix.<axis>`".to_owned(),
            "steps" => "a Step hands values on by environment files; the outputs of a Job are `needs.<job>.outputs.<name>`".to_owned(),
            _ => match closest(name, RUN.into_iter().chain(MAPS)) {
                Some(known) => format!("did you mean `{known}`?"),
                None => "the names are `ref`, `branch`, `tag`, `event`, `commit`, `trust`, `project`, `needs`, `jobs`, `inputs` and `env`; text stands in quotes".to_owned(),
            },
        };
        self.errors
            .push(ExpressionError::new(format!("there is no `{}`", quote(name)), span.clone()).hint(hint));
    }

    fn field(&mut self, of: &Ast, field: &str, ast: &Ast) {
        match (&of.node, parent(of)) {
            (Node::Name(map), _) if map == "needs" => self.job(field, self.names.needs, map, ast),
            (Node::Name(map), _) if map == "jobs" => self.job(field, self.names.jobs, map, ast),
            (Node::Name(map), _) if map == "matrix" => self.axis(field, ast),
            (Node::Name(map), _) if map == "inputs" => self.input(field, ast),
            (Node::Field(..), Some(map @ ("needs" | "jobs")))
                if !matches!(field, "outcome" | "outputs") || (map == "jobs" && field == "outputs") =>
            {
                let known = if map == "needs" { "`outcome` and `outputs`" } else { "`outcome`" };
                let error =
                    ExpressionError::new(format!("a job has no `{}` here", quote(field)), ast.span.clone());
                self.errors.push(error.hint(format!("`{map}.<job>` has {known}")));
                self.visit(of);
            }
            _ => self.visit(of),
        }
    }

    fn axis(&mut self, name: &str, ast: &Ast) {
        if self.names.matrix.contains(&name) {
            return;
        }
        let error = ExpressionError::new(format!("there is no `matrix.{}`", quote(name)), ast.span.clone());
        let known = self.names.matrix.iter().copied();
        self.errors.push(error.hint(match closest(name, known) {
            Some(axis) => format!("did you mean `{axis}`?"),
            None if self.names.matrix.is_empty() => "this Job has no `matrix`".to_owned(),
            None => format!("the matrix has `{}`", self.names.matrix.join("`, `")),
        }));
    }

    fn job(&mut self, name: &str, known: &[&str], map: &str, ast: &Ast) {
        if known.contains(&name) {
            return;
        }
        let error = ExpressionError::new(format!("`{map}` has no job `{}`", quote(name)), ast.span.clone());
        let hint = match closest(name, known.iter().copied()) {
            Some(job) => format!("did you mean `{job}`?"),
            None => format!("only a Job that has ended can be asked: add `{}` to `needs`", quote(name)),
        };
        self.errors.push(error.hint(hint));
    }

    fn input(&mut self, name: &str, ast: &Ast) {
        let known = self.names.inputs;
        if known.contains(&name) {
            return;
        }
        let error = ExpressionError::new(format!("there is no input `{}`", quote(name)), ast.span.clone());
        self.errors.push(error.hint(match closest(name, known.iter().copied()) {
            Some(input) => format!("did you mean `{input}`?"),
            None => format!("declare it: `on: {{ manual: {{ inputs: {{ {}: {{}} }} }} }}`", quote(name)),
        }));
    }

    /// Compares a name that has few values with the text it is compared with.
    fn words(&mut self, name: &Ast, literal: &Ast) {
        if let (Some("matrix"), Node::Literal(Value::Integer(_) | Value::Double(_) | Value::Boolean(_))) =
            (parent(name), &literal.node)
        {
            let error = ExpressionError::new(
                "a value of a matrix is text, so this never holds",
                literal.span.clone(),
            );
            self.errors.push(error.hint("put it in quotes: `matrix.version == '20'`"));
            return;
        }
        let Node::Literal(Value::Text(word)) = &literal.node else { return };
        let (what, words) = match &name.node {
            Node::Name(name) if name == "event" => ("event", EVENTS),
            Node::Name(name) if name == "trust" => ("trust", TRUST),
            Node::Field(_, field) if field == "outcome" => ("outcome", OUTCOMES),
            _ => return,
        };
        if !words.contains(&word.as_str()) {
            let error =
                ExpressionError::new(format!("`{what}` is never `{}`", quote(word)), literal.span.clone());
            self.errors.push(error.hint(match closest(word, words.iter().copied()) {
                Some(word) => format!("did you mean `{word}`?"),
                None => format!("it is one of `{}`", words.join("`, `")),
            }));
        }
    }
}

/// The name at the root of `needs.build`.
fn parent(ast: &Ast) -> Option<&str> {
    match &ast.node {
        Node::Field(of, _) => match &of.node {
            Node::Name(name) => Some(name),
            _ => None,
        },
        _ => None,
    }
}
