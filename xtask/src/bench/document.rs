//! The document that shows what was measured: its tables and pictures are written by the command that measures.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::report::Report;

/// What is written ends with this line. It begins with one that names the command, so that none writes what another is
/// to write.
const END: &str = "<!-- end of what is written -->";

fn begin(command: &str) -> String {
    format!("<!-- written by cargo xtask {command} -->")
}

/// A document that results are to be written into.
#[derive(Debug)]
pub struct Document<'a> {
    path: &'a Path,
    begin: String,
    text: String,
}

impl<'a> Document<'a> {
    /// Opens it for the results of this command: what is measured for long should find a place in the end.
    ///
    /// # Errors
    /// When there is none, or it has no place for results.
    pub fn open(path: &'a Path, command: &str) -> Result<Self> {
        let begin = begin(command);
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        replaced(&text, &begin, "").with_context(|| {
            format!("{} has no place for results: it needs the lines `{begin}` and `{END}`", path.display())
        })?;
        Ok(Self { path, begin, text })
    }

    /// Writes the tables into it, and the pictures into the folder with its name beside it.
    ///
    /// # Errors
    /// When that is not possible.
    pub fn write(&self, report: &Report) -> Result<()> {
        let folder = self.path.with_extension("");
        let name = folder.file_name().context("a document has a name")?.to_string_lossy();
        let text = replaced(&self.text, &self.begin, &report.markdown(Some(&name)))
            .context("there was a place for results")?;
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        for picture in report.pictures() {
            let file = folder.join(&picture.name);
            fs::write(&file, picture.svg).with_context(|| format!("cannot write {}", file.display()))?;
        }
        fs::write(self.path, text).with_context(|| format!("cannot write {}", self.path.display()))
    }
}

/// `text` with this between the two lines, if it has them.
fn replaced(text: &str, begin: &str, between: &str) -> Option<String> {
    let (before, rest) = text.split_once(begin)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{begin}\n\n{between}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::report;
    use super::*;

    #[test]
    fn only_what_is_between_the_lines_changes_however_often() {
        let (begin, other) = (begin("bench"), begin("bench native"));
        let text = format!("# Title\n{begin}\nold\n{END}\nmore\n");
        let once = replaced(&text, &begin, "new\n").unwrap();
        assert_eq!(once, format!("# Title\n{begin}\n\nnew\n\n{END}\nmore\n"));
        assert_eq!(replaced(&once, &begin, "new\n"), Some(once.clone()));
        assert_eq!(replaced("# Title\n", &begin, "new"), None);
        assert_eq!(replaced(&format!("{END}\n{begin}\n"), &begin, "new"), None);
        assert_eq!(replaced(&text, &other, "new"), None);
    }

    #[test]
    fn tables_and_pictures_are_written_and_found_from_each_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("figures.md");
        fs::write(&path, "nothing\n").unwrap();
        let refused = Document::open(&path, "bench").unwrap_err().to_string();
        assert!(refused.contains("figures.md has no place for results: it needs the lines"), "{refused}");
        fs::write(&path, format!("{}\n{END}\n", begin("bench"))).unwrap();
        Document::open(&path, "bench").unwrap().write(&report()).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let linked = text.split("](").nth(1).and_then(|rest| rest.split_once(')')).unwrap().0;
        assert_eq!(linked, "figures/tmpfs-standard-rate.svg");
        assert!(fs::read_to_string(directory.path().join(linked)).unwrap().starts_with("<svg "));
    }
}
