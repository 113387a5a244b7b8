//! Pages of docs/ with tables that are made from what the programs are made from.

mod metrics;
mod settings;

use std::fs;

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs");
/// What is around the tables in a page.
const BEGIN: &str = "<!-- begin: made by the tests of `yelb` -->\n";
const END: &str = "<!-- end -->";

fn read(page: &str) -> String {
    fs::read_to_string(format!("{DOCS}/{page}")).unwrap()
}

/// Fails if the page has other tables, and corrects the page.
#[track_caller]
fn has(page: &str, tables: &str) {
    let text = read(page);
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let expected = format!("{before}{BEGIN}{tables}{END}{after}");
    if text != expected {
        fs::write(format!("{DOCS}/{page}"), expected).unwrap();
        panic!("docs/{page} did not have the tables of the programs. It has them now: commit it");
    }
}
