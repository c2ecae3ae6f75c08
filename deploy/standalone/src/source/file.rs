//! Opening an input: plain or gzip files, or standard input.
//!
//! Standard input is copied to a temporary file first, so that it can be hashed and read twice
//! like any other.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use eddyline_schemas::record::Digest;
use flate2::read::MultiGzDecoder;

/// First bytes of a gzip file.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// An input that can be read again and again.
#[derive(Debug)]
pub(crate) struct InputFile {
    /// As the user named it; `-` is standard input.
    pub path: PathBuf,
    /// Hash of its bytes as they lie there.
    pub hash: Digest,
    /// The copy of standard input.
    spooled: Option<tempfile::NamedTempFile>,
}

impl InputFile {
    /// Hashes the file; copies standard input when `path` is `-`.
    pub(crate) fn open(path: &Path) -> std::io::Result<Self> {
        let spooled = match path == Path::new("-") {
            true => {
                let mut copy = tempfile::NamedTempFile::new()?;
                std::io::copy(&mut std::io::stdin().lock(), copy.as_file_mut())?;
                Some(copy)
            }
            false => None,
        };
        let mut input = Self { path: path.to_owned(), hash: Digest::default(), spooled };
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(input.bytes()?)?;
        input.hash = Digest(*hasher.finalize().as_bytes());
        Ok(input)
    }

    /// Its text from the start, unpacked.
    pub(crate) fn reader(&self) -> std::io::Result<Box<dyn BufRead>> {
        let mut file = self.bytes()?;
        let mut magic = [0; 2];
        let is_gzip = file.read_exact(&mut magic).is_ok() && magic == GZIP_MAGIC;
        file.seek(SeekFrom::Start(0))?;
        Ok(match is_gzip {
            true => Box::new(BufReader::new(MultiGzDecoder::new(BufReader::new(file)))),
            false => Box::new(BufReader::new(file)),
        })
    }

    /// Short name for file names and messages.
    #[must_use]
    pub(crate) fn name(&self) -> String {
        match self.path.file_name().filter(|_| self.spooled.is_none()) {
            Some(name) => name.to_string_lossy().into_owned(),
            None => "stdin".into(),
        }
    }

    fn bytes(&self) -> std::io::Result<File> {
        File::open(self.spooled.as_ref().map_or(self.path.as_path(), |copy| copy.path()))
    }
}

/// A path for a file that belongs to `input`: beside it, or in the current folder when the
/// input's folder cannot be written to.
#[must_use]
pub(crate) fn beside(input: &InputFile, suffix: &str) -> PathBuf {
    let name = format!("{}{suffix}", input.name());
    let folder = input.path.parent().filter(|_| input.spooled.is_none());
    let folder = folder.filter(|folder| is_writable(folder)).unwrap_or(Path::new(""));
    folder.join(name)
}

fn is_writable(folder: &Path) -> bool {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    tempfile::tempfile_in(folder).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn gzip_is_known_by_its_content() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let read = |path: &Path| {
            let mut text = String::new();
            let input = InputFile::open(path).expect("the file is there");
            input.reader().and_then(|mut r| r.read_to_string(&mut text)).expect("it can be read");
            text
        };
        let plain = folder.path().join("a.csv");
        std::fs::write(&plain, "a,b\n").expect("it can be written");
        assert_eq!(read(&plain), "a,b\n");
        let packed = folder.path().join("a.dat");
        let file = File::create(&packed).expect("it can be made");
        let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        encoder.write_all(b"c,d\n").and_then(|()| encoder.finish()).expect("it can be written");
        assert_eq!(read(&packed), "c,d\n");
    }
}
