//! Tokens to a tree: a Pratt parser with a bounded depth.

use std::ops::Range;

use regex::{Regex, RegexBuilder};

use super::ExpressionError;
use super::lexer::{Token, TokenKind, tokens};
use super::value::Value;

/// The deepest nesting, so that no expression can exhaust the stack.
const MAX_DEPTH: usize = 32;

/// A node of the tree and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Ast {
    pub(super) node: Node,
    pub(super) span: Range<usize>,
}

/// What a node does.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Literal(Value),
    List(Vec<Ast>),
    Map(Vec<(Ast, Ast)>),
    Name(String),
    Field(Box<Ast>, String),
    Index(Box<Ast>, Box<Ast>),
    Not(Box<Ast>),
    Negate(Box<Ast>),
    Binary(Operator, Box<Ast>, Box<Ast>),
    Ternary(Box<Ast>, Box<Ast>, Box<Ast>),
    Has(Box<Ast>),
    Size(Box<Ast>),
    Method(Method, Box<Ast>, Vec<Ast>),
    Macro(Macro, Box<Ast>, String, Box<Ast>),
}

impl Ast {
    /// The nodes right below, in the order of the text.
    pub(super) fn children(&self) -> Vec<&Ast> {
        match &self.node {
            Node::Literal(_) | Node::Name(_) => Vec::new(),
            Node::List(items) => items.iter().collect(),
            Node::Map(entries) => entries.iter().flat_map(|(key, value)| [key, value]).collect(),
            Node::Field(of, _) => vec![of],
            Node::Index(left, right) | Node::Binary(_, left, right) => vec![left, right],
            Node::Not(inner) | Node::Negate(inner) | Node::Has(inner) | Node::Size(inner) => vec![inner],
            Node::Ternary(condition, then, otherwise) => vec![condition, then, otherwise],
            Node::Method(_, receiver, arguments) => {
                std::iter::once(receiver.as_ref()).chain(arguments).collect()
            }
            Node::Macro(_, list, _, body) => vec![list, body],
        }
    }
}

/// An operator between two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// A function of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    StartsWith,
    EndsWith,
    Contains,
    Matches,
    LowerAscii,
}

/// A loop over a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Macro {
    All,
    Exists,
    Filter,
    Map,
}

/// Parses the whole text.
pub(super) fn parse(text: &str) -> Result<Ast, ExpressionError> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0 };
    if parser.peek().kind == TokenKind::End {
        let error = ExpressionError::new("this expression is empty", 0..text.len());
        return Err(error.hint("for example `branch == 'main'`"));
    }
    let root = parser.expression(0)?;
    match parser.next() {
        Token { kind: TokenKind::End, .. } => Ok(root),
        token => Err(unexpected(&token, "an operator or the end").hint("join conditions with `&&` or `||`")),
    }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

/// How strongly the ternary operator binds: less than any other.
const TERNARY: u8 = 1;

/// How strongly a sign in front binds: more than any operator between.
const PREFIX: u8 = 8;

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.at]
    }

    fn next(&mut self) -> Token {
        let token = self.tokens[self.at].clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn takes(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek().kind, TokenKind::Sign(found) if found == sign);
        if found {
            self.next();
        }
        found
    }

    fn expect(&mut self, sign: &'static str) -> Result<Range<usize>, ExpressionError> {
        let token = self.next();
        match token.kind {
            TokenKind::Sign(found) if found == sign => Ok(token.span),
            _ => Err(unexpected(&token, &format!("`{sign}`"))),
        }
    }

    /// Parses operators that bind more strongly than `minimum`.
    fn expression(&mut self, minimum: u8) -> Result<Ast, ExpressionError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(ExpressionError::new(
                "this expression is nested too deeply",
                self.peek().span.clone(),
            ));
        }
        let mut left = self.prefix()?;
        loop {
            if minimum < TERNARY && self.takes("?") {
                left = self.ternary(left)?;
                continue;
            }
            let Some((operator, strength)) = operator(&self.peek().kind) else { break };
            if strength <= minimum {
                break;
            }
            self.next();
            let right = self.expression(strength)?;
            let span = left.span.start..right.span.end;
            left = Ast { node: Node::Binary(operator, Box::new(left), Box::new(right)), span };
        }
        self.depth -= 1;
        Ok(left)
    }

    fn ternary(&mut self, condition: Ast) -> Result<Ast, ExpressionError> {
        let then = self.expression(0)?;
        self.expect(":")?;
        let otherwise = self.expression(0)?;
        let span = condition.span.start..otherwise.span.end;
        Ok(Ast { node: Node::Ternary(Box::new(condition), Box::new(then), Box::new(otherwise)), span })
    }

    fn prefix(&mut self) -> Result<Ast, ExpressionError> {
        let start = self.peek().span.start;
        let wrap: fn(Box<Ast>) -> Node = if self.takes("!") {
            Node::Not
        } else if self.takes("-") {
            Node::Negate
        } else {
            let primary = self.primary()?;
            return self.postfix(primary);
        };
        let operand = self.expression(PREFIX)?;
        let span = start..operand.span.end;
        Ok(Ast { node: wrap(Box::new(operand)), span })
    }

    fn primary(&mut self) -> Result<Ast, ExpressionError> {
        let token = self.next();
        let node = match &token.kind {
            TokenKind::Integer(value) => Node::Literal(Value::Integer(*value)),
            TokenKind::Double(value) => Node::Literal(Value::Double(*value)),
            TokenKind::Text(value) => Node::Literal(Value::Text(value.clone())),
            TokenKind::Name(name) => return self.named(name, token.span.clone()),
            TokenKind::Sign("(") => {
                let inner = self.expression(0)?;
                let end = self.expect(")")?;
                return Ok(Ast { span: token.span.start..end.end, ..inner });
            }
            TokenKind::Sign("[") => {
                let items = self.items("]")?;
                let span = token.span.start..self.last_end();
                return Ok(Ast { node: Node::List(items), span });
            }
            TokenKind::Sign("{") => return self.map(token.span.start),
            TokenKind::Sign(_) | TokenKind::End => return Err(unexpected(&token, "a value")),
        };
        Ok(Ast { node, span: token.span })
    }

    fn named(&mut self, name: &str, span: Range<usize>) -> Result<Ast, ExpressionError> {
        let called = matches!(self.peek().kind, TokenKind::Sign("("));
        let node = match name {
            "true" => Node::Literal(Value::Boolean(true)),
            "false" => Node::Literal(Value::Boolean(false)),
            "null" => Node::Literal(Value::Null),
            "has" | "size" if called => return self.function(name, span.start),
            _ if called => {
                let error = ExpressionError::new(format!("there is no function `{name}`"), span);
                return Err(error.hint(function_hint(name)));
            }
            _ => Node::Name(name.to_owned()),
        };
        Ok(Ast { node, span })
    }

    fn function(&mut self, name: &str, start: usize) -> Result<Ast, ExpressionError> {
        self.expect("(")?;
        let argument = self.expression(0)?;
        let end = self.expect(")")?.end;
        if name == "size" {
            return Ok(Ast { node: Node::Size(Box::new(argument)), span: start..end });
        }
        if !matches!(argument.node, Node::Field(..)) {
            let error = ExpressionError::new("`has` asks for a field", argument.span);
            return Err(error.hint("for example `has(env.DEPLOY)`"));
        }
        Ok(Ast { node: Node::Has(Box::new(argument)), span: start..end })
    }

    fn items(&mut self, close: &'static str) -> Result<Vec<Ast>, ExpressionError> {
        let mut items = Vec::new();
        while !self.takes(close) {
            items.push(self.expression(0)?);
            if !self.takes(",") {
                self.expect(close)?;
                break;
            }
        }
        Ok(items)
    }

    fn map(&mut self, start: usize) -> Result<Ast, ExpressionError> {
        let mut entries = Vec::new();
        while !self.takes("}") {
            let key = self.expression(0)?;
            self.expect(":")?;
            entries.push((key, self.expression(0)?));
            if !self.takes(",") {
                self.expect("}")?;
                break;
            }
        }
        Ok(Ast { node: Node::Map(entries), span: start..self.last_end() })
    }

    fn last_end(&self) -> usize {
        self.tokens[self.at.saturating_sub(1)].span.end
    }

    fn postfix(&mut self, mut left: Ast) -> Result<Ast, ExpressionError> {
        let start = left.span.start;
        for _ in 0..MAX_DEPTH {
            let node = if self.takes(".") {
                let token = self.next();
                let TokenKind::Name(field) = &token.kind else {
                    return Err(unexpected(&token, "the name of a field"));
                };
                match matches!(self.peek().kind, TokenKind::Sign("(")) {
                    true => self.method(left, field, &token.span)?,
                    false => self.field(left, field)?,
                }
            } else if self.takes("[") {
                let index = self.expression(0)?;
                self.expect("]")?;
                Node::Index(Box::new(left), Box::new(index))
            } else {
                return Ok(left);
            };
            left = Ast { node, span: start..self.last_end() };
        }
        Err(ExpressionError::new("this chain of fields is too long", left.span))
    }

    /// A field. Names of Jobs, axes and parameters may hold `-`, so after `needs.` and its like a `-` that touches both sides belongs to the name.
    fn field(&mut self, left: Ast, first: &str) -> Result<Node, ExpressionError> {
        let mut field = first.to_owned();
        let dashed = ["needs", "jobs", "matrix", "parameters"];
        if matches!(&left.node, Node::Name(name) if dashed.contains(&name.as_str())) {
            while let [dash, part, ..] = &self.tokens[self.at..] {
                let touches = dash.span.start == self.last_end() && part.span.start == dash.span.end;
                match (&dash.kind, &part.kind) {
                    (TokenKind::Sign("-"), TokenKind::Name(word)) if touches => {
                        field.push_str(&format!("-{word}"))
                    }
                    (TokenKind::Sign("-"), TokenKind::Integer(number)) if touches => {
                        field.push_str(&format!("-{number}"))
                    }
                    _ => break,
                }
                self.at += 2;
            }
        }
        Ok(Node::Field(Box::new(left), field))
    }

    fn method(&mut self, receiver: Ast, name: &str, span: &Range<usize>) -> Result<Node, ExpressionError> {
        self.expect("(")?;
        let mut arguments = self.items(")")?;
        let wrong = |wants: &str| {
            let call = span.start..span.end;
            Err(ExpressionError::new(format!("`{name}` takes {wants}"), call))
        };
        let receiver = Box::new(receiver);
        let method = match name {
            "startsWith" => Method::StartsWith,
            "endsWith" => Method::EndsWith,
            "contains" => Method::Contains,
            "matches" => Method::Matches,
            "lowerAscii" if arguments.is_empty() => {
                return Ok(Node::Method(Method::LowerAscii, receiver, arguments));
            }
            "lowerAscii" => return wrong("nothing"),
            "size" if arguments.is_empty() => return Ok(Node::Size(receiver)),
            "size" => return wrong("nothing"),
            _ => {
                let Some(kind) = macro_named(name) else {
                    let error = ExpressionError::new(format!("there is no function `{name}`"), span.clone());
                    return Err(error.hint(function_hint(name)));
                };
                let (Some(body), Some(variable), None) = (arguments.pop(), arguments.pop(), arguments.pop())
                else {
                    return wrong("a name and an expression, as in `list.all(x, x > 0)`");
                };
                let Node::Name(variable) = variable.node else {
                    return wrong("a name and an expression, as in `list.all(x, x > 0)`");
                };
                return Ok(Node::Macro(kind, receiver, variable, Box::new(body)));
            }
        };
        let [argument] = arguments.as_slice() else { return wrong("one text") };
        // A pattern that stands in the file is found wrong before anything runs.
        if let (Method::Matches, Node::Literal(Value::Text(text))) = (method, &argument.node) {
            regular(text, &argument.span)?;
        }
        Ok(Node::Method(method, receiver, arguments))
    }
}

/// The most memory that a pattern of `matches` may take when it is read.
const MAX_PATTERN: usize = 1 << 20;

/// Reads a regular expression. Matching takes time that grows with the text alone, whatever the pattern.
pub(super) fn regular(pattern: &str, span: &Range<usize>) -> Result<Regex, ExpressionError> {
    RegexBuilder::new(pattern).size_limit(MAX_PATTERN).dfa_size_limit(MAX_PATTERN).build().map_err(|error| {
        let error = error.to_string();
        let why = error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        ExpressionError::new(format!("`matches` cannot read this pattern: {why}"), span.clone())
            .hint("it takes RE2's syntax: no back-references and no look-around")
    })
}

fn macro_named(name: &str) -> Option<Macro> {
    Some(match name {
        "all" => Macro::All,
        "exists" => Macro::Exists,
        "filter" => Macro::Filter,
        "map" => Macro::Map,
        _ => return None,
    })
}

fn function_hint(name: &str) -> String {
    const FUNCTIONS: [&str; 11] = [
        "startsWith",
        "endsWith",
        "contains",
        "matches",
        "lowerAscii",
        "size",
        "has",
        "all",
        "exists",
        "filter",
        "map",
    ];
    match name {
        "success" | "failure" | "always" | "cancelled" => {
            "a Job runs when its `needs` have passed; compare `jobs.<name>.outcome` for more".to_owned()
        }
        _ => match crate::diagnostic::closest(name, FUNCTIONS) {
            Some(known) => format!("did you mean `{known}`?"),
            None => format!("the functions are `{}`", FUNCTIONS.join("`, `")),
        },
    }
}

fn operator(kind: &TokenKind) -> Option<(Operator, u8)> {
    let sign = match kind {
        TokenKind::Sign(sign) => sign,
        TokenKind::Name(name) if name == "in" => "in",
        _ => return None,
    };
    Some(match sign {
        "||" => (Operator::Or, 2),
        "&&" => (Operator::And, 3),
        "==" => (Operator::Equal, 4),
        "!=" => (Operator::NotEqual, 4),
        "<" => (Operator::Less, 4),
        "<=" => (Operator::LessOrEqual, 4),
        ">" => (Operator::Greater, 4),
        ">=" => (Operator::GreaterOrEqual, 4),
        "in" => (Operator::In, 4),
        "+" => (Operator::Add, 5),
        "-" => (Operator::Subtract, 5),
        "*" => (Operator::Multiply, 6),
        "/" => (Operator::Divide, 6),
        "%" => (Operator::Remainder, 6),
        _ => return None,
    })
}

fn unexpected(token: &Token, wanted: &str) -> ExpressionError {
    let found = match &token.kind {
        TokenKind::End => "the end".to_owned(),
        TokenKind::Sign(sign) => format!("`{sign}`"),
        TokenKind::Name(name) => format!("`{name}`"),
        TokenKind::Text(_) => "a text".to_owned(),
        TokenKind::Integer(_) | TokenKind::Double(_) => "a number".to_owned(),
    };
    ExpressionError::new(format!("expected {wanted}, found {found}"), token.span.clone())
}
