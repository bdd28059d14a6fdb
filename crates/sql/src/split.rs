//! Cuts a text into statements, so that one that cannot be parsed hides none of the others.

use std::ops::Range;

use sqlparser::dialect::{self, Dialect as Grammar};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Whitespace, Word};
use towpath_model::migration::Dialect;

/// A statement before it is parsed, or comments after the last one.
#[derive(Debug)]
pub(crate) struct Piece {
    /// Its bytes in the text, without the comments before it and the semicolon.
    pub(crate) span: Range<usize>,
    /// Its tokens without white space and comments. Empty where only comments are left.
    pub(crate) tokens: Vec<TokenWithSpan>,
    /// The comments before and in it.
    pub(crate) comments: Vec<Comment>,
    /// Why the rest of the text cannot even be cut into words.
    pub(crate) broken: Option<String>,
}

/// A comment.
#[derive(Debug)]
pub(crate) struct Comment {
    pub(crate) span: Range<usize>,
    /// What it says, without the signs that make it one.
    pub(crate) text: String,
}

/// The grammar of a dialect.
pub(crate) fn grammar(dialect: Dialect) -> Box<dyn Grammar> {
    match dialect {
        Dialect::Postgresql => Box::new(dialect::PostgreSqlDialect {}),
        Dialect::Mysql => Box::new(dialect::MySqlDialect {}),
        Dialect::Sqlite => Box::new(dialect::SQLiteDialect {}),
    }
}

/// Cuts a text at the semicolons that end statements: not at those in strings, comments and bodies of triggers.
pub(crate) fn split(dialect: Dialect, text: &str) -> Vec<Piece> {
    let mut cursor = Cursor::new(text);
    let mut tokens = Vec::new();
    let broken = Tokenizer::new(&*grammar(dialect), text).tokenize_with_location_into_buf(&mut tokens).err();
    let mut pieces = Vec::new();
    let mut piece = Growing::default();
    for token in tokens {
        let start = cursor.seek(token.span.start);
        let span = start..cursor.seek(token.span.end);
        match &token.token {
            Token::SemiColon if !piece.is_in_body() => pieces.extend(piece.take()),
            Token::Whitespace(
                Whitespace::SingleLineComment { comment, .. } | Whitespace::MultiLineComment(comment),
            ) => {
                let end = span.start + text[span.clone()].trim_end().len();
                piece.comments.push(Comment { span: span.start..end, text: comment.clone() });
            }
            Token::Whitespace(_) | Token::EOF => {}
            _ => piece.push(token, &span),
        }
    }
    if let Some(error) = broken {
        let start = piece.span.as_ref().map_or(cursor.seek(error.location), |span| span.start);
        piece.span = Some(start..text.len());
        piece.broken = Some(error.message);
    }
    pieces.extend(piece.take());
    pieces
}

/// A piece that is not at its end.
#[derive(Default)]
struct Growing {
    span: Option<Range<usize>>,
    tokens: Vec<TokenWithSpan>,
    comments: Vec<Comment>,
    broken: Option<String>,
    /// How many `BEGIN` and `CASE` are open in the body of a trigger or procedure.
    depth: usize,
}

impl Growing {
    fn push(&mut self, token: TokenWithSpan, span: &Range<usize>) {
        let start = self.span.as_ref().map_or(span.start, |known| known.start);
        self.span = Some(start..span.end);
        if let Token::Word(word) = &token.token
            && self.has_body()
        {
            self.count(word);
        }
        self.tokens.push(token);
    }

    /// Whether it creates something whose body holds statements.
    fn has_body(&self) -> bool {
        let is = |token: &TokenWithSpan, known: &[&str]| matches!(&token.token, Token::Word(word) if is_one_of(word, known));
        self.tokens.first().is_some_and(|first| is(first, &["CREATE"]))
            && self
                .tokens
                .iter()
                .take(8)
                .any(|token| is(token, &["TRIGGER", "PROCEDURE", "FUNCTION", "EVENT"]))
    }

    fn count(&mut self, word: &Word) {
        let after_end = matches!(self.tokens.last().map(|it| &it.token), Some(Token::Word(last)) if is_one_of(last, &["END"]));
        if after_end && is_one_of(word, &["IF", "LOOP", "WHILE", "REPEAT"]) {
            // `END IF` closes what was never counted.
            self.depth += 1;
        } else if is_one_of(word, &["BEGIN"]) || (is_one_of(word, &["CASE"]) && !after_end) {
            self.depth += 1;
        } else if is_one_of(word, &["END"]) {
            self.depth = self.depth.saturating_sub(1);
        }
    }

    fn is_in_body(&self) -> bool {
        self.depth > 0
    }

    fn take(&mut self) -> Option<Piece> {
        let Self { span, tokens, comments, broken, depth: _ } = std::mem::take(self);
        let first_comment = comments.first().map(|comment| comment.span.clone());
        Some(Piece { span: span.or(first_comment)?, tokens, comments, broken })
    }
}

fn is_one_of(word: &Word, known: &[&str]) -> bool {
    word.quote_style.is_none() && known.iter().any(|it| word.value.eq_ignore_ascii_case(it))
}

/// Turns lines and columns into bytes. They must come in the order of the text, so that a long line is walked once.
struct Cursor<'t> {
    rest: std::str::Chars<'t>,
    length: usize,
    line: u64,
    column: u64,
}

impl<'t> Cursor<'t> {
    fn new(text: &'t str) -> Self {
        Self { rest: text.chars(), length: text.len(), line: 1, column: 1 }
    }

    /// The byte of a line and a column of characters, both from 1.
    fn seek(&mut self, location: Location) -> usize {
        while (self.line, self.column) < (location.line, location.column) {
            match self.rest.next() {
                Some('\n') => (self.line, self.column) = (self.line + 1, 1),
                Some(_) => self.column += 1,
                None => break,
            }
        }
        self.length - self.rest.as_str().len()
    }
}
