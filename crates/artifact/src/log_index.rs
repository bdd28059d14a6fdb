//! An index of a sealed log: where its lines are, and which blocks can hold a text.
//!
//! A log is cut into blocks of about 128 KiB that end with a line. For each the index keeps its place, the number of its first line,
//! and a bitmap of 65,536 bits: one is set for each trigram of the block's lines, in lower case and without what only
//! colours them. A block can hold a text only if the bits of all its trigrams are set, so a search reads few blocks
//! besides those with a hit (a typical block sets one bit in six, so eight trigrams that are not there go unnoticed once in a million blocks).
//!
//! The file, all numbers little endian: the bitmaps, one after the other; the table, 16 bytes a block (offset, number of
//! the first line from 0); 32 bytes at the end (blocks, bytes and lines of the log, magic). It is derived: where it is missing or of another
//! version, it is made again from the log.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;

use crate::line::text_start;

/// A block ends with the first line that reaches this size.
const BLOCK: u64 = 128 * 1024;

/// A longer line is looked at in pieces of this size.
const PIECE: usize = 64 * 1024;

/// The bytes of one bitmap.
const BITMAP: usize = 8 * 1024;

const MAGIC: u64 = u64::from_le_bytes(*b"towlogi1");

/// What a stored line says: everything behind time, Step and stream, in lower case and without control sequences.
///
/// `folded` is the buffer that is filled.
pub(crate) fn fold(line: &[u8], folded: &mut Vec<u8>) {
    folded.clear();
    let mut rest = &line[text_start(line)..];
    while let Some((&first, behind)) = rest.split_first() {
        rest = match first {
            0x1b if behind.first() == Some(&b'[') => {
                let end = behind.iter().skip(1).position(|byte| (0x40..=0x7e).contains(byte));
                end.map_or(&[], |end| &behind[end + 2..])
            }
            _ => {
                folded.push(first.to_ascii_lowercase());
                behind
            }
        };
    }
}

fn bit(trigram: &[u8]) -> usize {
    let packed = trigram.iter().fold(0_u32, |packed, byte| packed << 8 | u32::from(*byte));
    (packed.wrapping_mul(0x9e37_79b1) >> 16) as usize
}

fn bits(folded: &[u8]) -> impl Iterator<Item = usize> {
    folded.windows(3).map(bit)
}

/// One block of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    /// Where it begins in the log.
    pub(crate) offset: u64,
    /// The number of its first line, from 0.
    pub(crate) line: u64,
}

/// Makes the index of a log that is read from its beginning.
#[derive(Debug)]
pub(crate) struct Builder<W> {
    out: W,
    table: Vec<Block>,
    bitmap: Box<[u8]>,
    /// Where the block under way begins.
    begun: Block,
    bytes: u64,
    lines: u64,
    /// The line under way.
    line: Vec<u8>,
    folded: Vec<u8>,
}

impl<W: Write> Builder<W> {
    pub(crate) fn new(out: W) -> Self {
        let begun = Block { offset: 0, line: 0 };
        let bitmap = vec![0; BITMAP].into_boxed_slice();
        Self {
            out,
            table: Vec::new(),
            bitmap,
            begun,
            bytes: 0,
            lines: 0,
            line: Vec::new(),
            folded: Vec::new(),
        }
    }

    /// Takes in the next bytes of the log.
    pub(crate) fn take(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let feed = bytes.iter().position(|byte| *byte == b'\n');
            let (part, rest) = bytes.split_at(feed.map_or(bytes.len(), |feed| feed + 1));
            bytes = rest;
            self.bytes += part.len() as u64;
            let text = part.strip_suffix(b"\n").unwrap_or(part);
            if feed.is_some() && self.line.is_empty() {
                self.mark(text);
            } else {
                for piece in text.chunks(PIECE) {
                    self.line.extend_from_slice(piece);
                    if self.line.len() > PIECE {
                        self.mark_line(2);
                    }
                }
                if feed.is_some() {
                    self.mark_line(0);
                }
            }
            self.lines += u64::from(feed.is_some());
            if feed.is_some() && self.bytes - self.begun.offset >= BLOCK {
                self.end_block()?;
            }
        }
        Ok(())
    }

    /// Marks the line under way, and keeps its last bytes where it goes on.
    fn mark_line(&mut self, keep: usize) {
        let mut line = std::mem::take(&mut self.line);
        self.mark(&line);
        line.drain(..line.len().saturating_sub(keep));
        self.line = line;
    }

    fn mark(&mut self, line: &[u8]) {
        fold(line, &mut self.folded);
        for bit in bits(&self.folded) {
            self.bitmap[bit / 8] |= 1 << (bit % 8);
        }
    }

    fn end_block(&mut self) -> io::Result<()> {
        self.mark_line(0);
        self.out.write_all(&self.bitmap)?;
        self.bitmap.fill(0);
        self.table.push(self.begun);
        self.begun = Block { offset: self.bytes, line: self.lines };
        Ok(())
    }

    /// Ends the index, and gives back what it was written to.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        if self.bytes > self.begun.offset {
            self.end_block()?;
        }
        for block in &self.table {
            self.out.write_all(&block.offset.to_le_bytes())?;
            self.out.write_all(&block.line.to_le_bytes())?;
        }
        for number in [self.table.len() as u64, self.bytes, self.lines, MAGIC] {
            self.out.write_all(&number.to_le_bytes())?;
        }
        self.out.flush()?;
        Ok(self.out)
    }
}

/// The index of a sealed log.
#[derive(Debug)]
pub struct LogIndex {
    file: File,
    blocks: Vec<Block>,
    bytes: u64,
}

impl LogIndex {
    /// Opens an index of a log of `bytes` bytes; `None` if it is of another log or version, or cut off.
    pub(crate) fn open(file: File, bytes: u64) -> io::Result<Option<Self>> {
        let size = file.metadata()?.len();
        let Some(end) = size.checked_sub(32) else { return Ok(None) };
        let mut footer = [0; 32];
        file.read_exact_at(&mut footer, end)?;
        let number = |at: usize| {
            let mut eight = [0; 8];
            eight.copy_from_slice(&footer[at..at + 8]);
            u64::from_le_bytes(eight)
        };
        let count = number(0);
        let expected = count.checked_mul(BITMAP as u64 + 16);
        if number(24) != MAGIC || number(8) != bytes || expected != Some(end) {
            return Ok(None);
        }
        let count = usize::try_from(count).map_err(io::Error::other)?;
        let mut table = vec![0; count * 16];
        file.read_exact_at(&mut table, count as u64 * BITMAP as u64)?;
        let field = |entry: &[u8]| {
            let mut eight = [0; 8];
            eight.copy_from_slice(entry);
            u64::from_le_bytes(eight)
        };
        let blocks = table
            .chunks_exact(16)
            .map(|entry| Block { offset: field(&entry[..8]), line: field(&entry[8..]) })
            .collect();
        Ok(Some(Self { file, blocks, bytes }))
    }

    /// The block that holds a line, counted from 0: where it begins, and its first line. The last one for a line beyond the end.
    #[must_use]
    pub fn before(&self, line: u64) -> (u64, u64) {
        let behind = self.blocks.partition_point(|block| block.line <= line);
        let block = behind.checked_sub(1).and_then(|at| self.blocks.get(at));
        block.map_or((0, 0), |block| (block.offset, block.line))
    }

    /// The blocks that can hold a text, as (offset, length, number of the first line); `folded` is its lower case.
    pub(crate) fn candidates(&self, folded: &[u8]) -> io::Result<Vec<(u64, u64, u64)>> {
        let wanted: Vec<usize> = bits(folded).collect();
        let mut found = Vec::new();
        let mut bitmap = vec![0; BITMAP];
        for (at, block) in self.blocks.iter().enumerate() {
            if !wanted.is_empty() {
                self.file.read_exact_at(&mut bitmap, at as u64 * BITMAP as u64)?;
            }
            if wanted.iter().all(|bit| bitmap[bit / 8] & 1 << (bit % 8) != 0) {
                let end = self.blocks.get(at + 1).map_or(self.bytes, |next| next.offset);
                found.push((block.offset, end - block.offset, block.line));
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(log: &[u8], piece: usize) -> LogIndex {
        let mut builder = Builder::new(tempfile::tempfile().unwrap());
        for piece in log.chunks(piece) {
            builder.take(piece).unwrap();
        }
        LogIndex::open(builder.finish().unwrap(), log.len() as u64).unwrap().unwrap()
    }

    fn log(lines: u64) -> Vec<u8> {
        let line = |n: u64| format!("2026-11-21T14:03:07.000001Z 01o \x1b[31mCompiling\x1b[0m crate{n}\n");
        (0..lines).map(line).collect::<String>().into_bytes()
    }

    #[test]
    fn a_line_is_found_in_its_block_however_the_log_came() {
        let log = log(20_000);
        for piece in [7, 4096, 1 << 20] {
            let index = index(&log, piece);
            assert!(index.blocks.len() > 5, "{}", index.blocks.len());
            for wanted in [0, 1, 9_999, 19_999, 30_000] {
                let (offset, first) = index.before(wanted);
                let before = log[..usize::try_from(offset).unwrap()].iter().filter(|b| **b == b'\n').count();
                assert_eq!(before as u64, first);
                assert!(first <= wanted && wanted.min(19_999) - first < 4_000);
            }
        }
    }

    #[test]
    fn few_blocks_can_hold_a_text_that_stands_in_one() {
        let log = log(20_000);
        let index = index(&log, 4096);
        let found = index.candidates(b"crate12345").unwrap();
        let text = b"crate12345";
        let holds = |(offset, length, _): &(u64, u64, u64)| {
            let block = &log[usize::try_from(*offset).unwrap()..usize::try_from(offset + length).unwrap()];
            block.windows(text.len()).any(|window| window == text)
        };
        assert!(found.iter().any(holds), "the block that holds it is missing");
        assert!(found.len() <= index.blocks.len() / 2, "{found:?}");
        assert!(index.candidates(b"no such words").unwrap().is_empty());
        assert_eq!(index.candidates(b"ra").unwrap().len(), index.blocks.len(), "too short to tell");
    }

    #[test]
    fn what_colours_a_line_is_not_part_of_it() {
        let mut folded = Vec::new();
        fold(b"2026-11-21T14:03:07.000001Z 01e \x1b[31;1mError:\x1b[0m No", &mut folded);
        assert_eq!(folded, b"error: no");
        fold(b"\x1b[", &mut folded);
        assert_eq!(folded, b"");
    }

    #[test]
    fn a_line_of_many_megabytes_is_one_block_and_searched_to_its_end() {
        let mut log = vec![b'x'; 5 << 20];
        log.extend_from_slice(b" the end");
        let index = index(&log, 100_000);
        assert_eq!(index.blocks.len(), 1);
        assert_eq!(index.candidates(b"the end").unwrap().len(), 1);
    }

    #[test]
    fn an_index_of_another_log_is_not_taken() {
        let file = Builder::new(tempfile::tempfile().unwrap()).finish().unwrap();
        assert!(LogIndex::open(file.try_clone().unwrap(), 1).unwrap().is_none());
        file.set_len(20).unwrap();
        assert!(LogIndex::open(file, 0).unwrap().is_none());
    }
}
