//! XML as reports have it: bounded, forgiving, and deaf to document types.
//!
//! Bytes that are no UTF-8 are replaced, end tags that do not fit are tolerated, `&` may stand alone. A
//! document type is skipped, and only the five entities of XML itself and character references mean
//! anything: an entity that a document defines stays as it is written, so nothing can be expanded and
//! nothing outside is read.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// The deepest nesting that is followed.
const MAX_DEPTH: usize = 64;

/// The longest value of an attribute that is kept.
const MAX_VALUE: usize = 64 << 10;

/// An element as it opens.
#[derive(Debug)]
pub(crate) struct Element {
    /// Its name without a prefix, in lower case: dialects differ there.
    pub(crate) name: String,
    attributes: Vec<(String, String)>,
}

impl Element {
    /// The value of an attribute, by its name in any case.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// A number in an attribute.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.trim().parse().ok()
    }
}

/// Takes in a document piece by piece.
pub(crate) trait Visitor {
    /// An element opens.
    fn open(&mut self, element: &Element);
    /// Text within the open element; a long one may come in several pieces.
    fn text(&mut self, text: &str);
    /// The element of this name closes.
    fn close(&mut self, name: &str);
}

/// The bytes as text: UTF-16 with its mark, or UTF-8, with what is neither replaced.
pub(crate) fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    let units = |pair: fn([u8; 2]) -> u16, rest: &[u8]| {
        let units: Vec<u16> = rest.chunks_exact(2).map(|two| pair([two[0], two[1]])).collect();
        Cow::Owned(String::from_utf16_lossy(&units))
    };
    match bytes {
        [0xFF, 0xFE, rest @ ..] => units(u16::from_le_bytes, rest),
        [0xFE, 0xFF, rest @ ..] => units(u16::from_be_bytes, rest),
        [0xEF, 0xBB, 0xBF, rest @ ..] => String::from_utf8_lossy(rest),
        _ => String::from_utf8_lossy(bytes),
    }
}

/// Walks through a document. Says where and why it broke off, if it did.
pub(crate) fn walk(text: &str, visitor: &mut dyn Visitor) -> Result<(), String> {
    let mut reader = Reader::from_str(text.trim_start());
    let config = reader.config_mut();
    config.allow_dangling_amp = true;
    config.allow_unmatched_ends = true;
    config.check_end_names = false;
    config.expand_empty_elements = true;
    let mut open: Vec<String> = Vec::new();
    loop {
        let event = reader.read_event();
        match event {
            Ok(Event::Start(start)) => {
                if open.len() >= MAX_DEPTH {
                    return Err(format!("its elements are nested more than {MAX_DEPTH} deep"));
                }
                let element = element(&start);
                visitor.open(&element);
                open.push(element.name);
            }
            Ok(Event::End(end)) => {
                let name = local(end.name().as_ref());
                // What was left open within it closes with it; an end that nothing opened is nothing.
                if open.contains(&name) {
                    while let Some(inner) = open.pop() {
                        visitor.close(&inner);
                        if inner == name {
                            break;
                        }
                    }
                }
            }
            Ok(Event::Text(text)) if !open.is_empty() => visitor.text(&text),
            Ok(Event::CData(text)) if !open.is_empty() => visitor.text(&text),
            Ok(Event::GeneralRef(reference)) if !open.is_empty() => visitor.text(&resolved(&reference)),
            Ok(Event::Eof) => break,
            Ok(
                Event::Text(_)
                | Event::CData(_)
                | Event::GeneralRef(_)
                | Event::Empty(_)
                | Event::Comment(_)
                | Event::Decl(_)
                | Event::PI(_)
                | Event::DocType(_),
            ) => {}
            Err(error) => {
                let at = usize::try_from(reader.error_position()).unwrap_or(usize::MAX);
                return Err(format!("it is broken in line {}: {error}", line_of(text, at)));
            }
        }
    }
    match open.last() {
        Some(name) => Err(format!("it breaks off within <{name}>: its writer did not finish")),
        None => Ok(()),
    }
}

/// The line of an offset, from 1.
fn line_of(text: &str, offset: usize) -> usize {
    let skipped = text.len() - text.trim_start().len();
    text.bytes().take(offset.saturating_add(skipped)).filter(|byte| *byte == b'\n').count() + 1
}

fn local(name: &str) -> String {
    name.rsplit(':').next().unwrap_or(name).to_ascii_lowercase()
}

fn element(start: &BytesStart<'_>) -> Element {
    let mut attributes = start.attributes();
    let attributes = attributes.with_checks(false).flatten().take(64).map(|attribute| {
        let value = cut(&attribute.value, MAX_VALUE);
        (local(attribute.key.as_ref()), unescaped(value))
    });
    Element { name: local(start.name().as_ref()), attributes: attributes.collect() }
}

/// The first `limit` bytes at most, cut between characters.
pub(crate) fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

/// A reference in text, or itself where it means nothing.
fn resolved(name: &str) -> String {
    character(name).map_or_else(|| format!("&{name};"), String::from)
}

/// What the inside of `&…;` stands for.
fn character(name: &str) -> Option<char> {
    match name {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "apos" => Some('\''),
        "quot" => Some('"'),
        _ => {
            let digits = name.strip_prefix('#')?;
            let code = match digits.strip_prefix(['x', 'X']) {
                Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16).ok()?,
                None => digits.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

/// A value with its references resolved. Whatever is no reference stays.
fn unescaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find('&') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.bytes().take(12).position(|byte| byte == b';');
        match end.and_then(|end| Some((end, character(&rest[1..end])?))) {
            Some((end, c)) => {
                text.push(c);
                rest = &rest[end + 1..];
            }
            None => {
                text.push('&');
                rest = &rest[1..];
            }
        }
    }
    text.push_str(rest);
    text
}
