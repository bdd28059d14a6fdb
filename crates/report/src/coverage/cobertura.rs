//! Cobertura XML, as Cobertura, coverage.py, istanbul, gocover-cobertura, coverlet, gcovr and llvm-cov's helpers write it.
//!
//! Rates that a file claims are not looked at. A class lists its lines twice, by method and in all; a line counts once.

use std::collections::BTreeMap;

use super::{Coverage, Files, Share};
use crate::ReportError;
use crate::xml::{Element, Visitor, walk};

pub(super) fn read(text: &str) -> Result<Coverage, ReportError> {
    let mut cobertura = Cobertura::default();
    let problem = walk(text, &mut cobertura).err();
    let Cobertura { files, branches, path: _ } = cobertura;
    let mut share = Share::default();
    branches.values().for_each(|branch| share.add(*branch));
    Ok(files.coverage("cobertura", share, problem))
}

#[derive(Default)]
struct Cobertura {
    files: Files,
    branches: BTreeMap<(String, u32), Share>,
    path: Option<String>,
}

impl Visitor for Cobertura {
    fn open(&mut self, element: &Element) {
        match (element.name.as_str(), &self.path) {
            ("class", _) => {
                self.path =
                    element.get("filename").or(element.get("name")).map(|name| name.replace('\\', "/"));
            }
            ("line", Some(path)) => {
                let number = element.number("number").and_then(|line| u32::try_from(line).ok());
                let Some(number) = number else { return };
                self.files.line(path, number, element.number("hits").is_some_and(|hits| hits > 0));
                if let Some(share) = element.get("condition-coverage").and_then(condition) {
                    let known = self.branches.entry((path.clone(), number)).or_default();
                    if share.covered > known.covered || known.total == 0 {
                        *known = share;
                    }
                }
            }
            _ => {}
        }
    }

    fn text(&mut self, _: &str) {}

    fn close(&mut self, name: &str) {
        if name == "class" {
            self.path = None;
        }
    }
}

/// `50% (1/2)`.
fn condition(text: &str) -> Option<Share> {
    let (covered, total) = text.split_once('(')?.1.split_once(')')?.0.split_once('/')?;
    Some(Share { covered: covered.trim().parse().ok()?, total: total.trim().parse().ok()? })
}
