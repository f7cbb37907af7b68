//! What a program writes, kept within bounds: the beginning and the end.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use bytes::Bytes;

/// Of a long log, so much of the beginning and as much of the end is kept: 64 MiB in all.
const HALF_BYTES: u64 = 32 << 20;
/// What is shown of the end in error texts.
const LAST_BYTES: usize = 2000;
const LAST_LINES: usize = 12;
/// What is read of it at once.
const PIECE_BYTES: u64 = 1 << 20;

/// A log within bounds, in a file: its first half is the beginning, its second half a ring.
pub struct Capture {
    file: File,
    written: u64,
    lost: u64,
    last: Vec<u8>,
    half: u64,
}

/// A log as it was at one moment. While the program writes on, what is oldest of the ring may be newer than that.
pub struct LogView {
    file: File,
    written: u64,
    lost: u64,
    half: u64,
}

impl Capture {
    /// In a new file.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(path: &Path) -> std::io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        Ok(Self { file, written: 0, lost: 0, last: Vec::new(), half: HALF_BYTES })
    }

    /// Takes more of it. What a full disk does not take is left out: that is no reason to end what a neighbour fills.
    pub fn write(&mut self, mut piece: &[u8]) {
        self.last.extend_from_slice(&piece[piece.len().saturating_sub(LAST_BYTES)..]);
        let surplus = self.last.len().saturating_sub(LAST_BYTES);
        self.last.drain(..surplus);
        while !piece.is_empty() {
            let (at, room) = match self.written < self.half {
                true => (self.written, self.half - self.written),
                false => {
                    let in_ring = (self.written - self.half) % self.half;
                    (self.half + in_ring, self.half - in_ring)
                }
            };
            let (now, rest) = piece.split_at(piece.len().min(usize::try_from(room).unwrap_or(usize::MAX)));
            if self.file.write_all_at(now, at).is_err() {
                self.lost += piece.len() as u64;
                return;
            }
            self.written += now.len() as u64;
            piece = rest;
        }
    }

    /// All that was written so far, kept or not.
    pub fn written(&self) -> u64 {
        self.written + self.lost
    }

    /// The last lines, for an error text; empty if nothing was written.
    pub fn last_lines(&self) -> String {
        let text = String::from_utf8_lossy(&self.last);
        let lines: Vec<&str> = text.trim_end().lines().collect();
        lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
    }

    /// As it is now.
    ///
    /// # Errors
    /// Too many open files.
    pub fn view(&self) -> std::io::Result<LogView> {
        Ok(LogView { file: self.file.try_clone()?, written: self.written, lost: self.lost, half: self.half })
    }
}

impl LogView {
    /// About how many bytes are kept: remarks and the log's frame come on top.
    pub fn kept(&self) -> u64 {
        /// For those.
        const FRAME: u64 = 4 << 10;
        self.written.min(2 * self.half) + FRAME
    }

    /// What is kept, piece by piece, with a remark where something was left out.
    pub fn pieces(&self) -> impl Iterator<Item = std::io::Result<Bytes>> + '_ {
        let half = self.half;
        let head = 0..self.written.min(half);
        let beyond = self.written.saturating_sub(half);
        // The ring's content in its order: what is oldest, then what overwrote the rest.
        let (old, new) = match beyond > half {
            true => (half + beyond % half..2 * half, half..half + beyond % half),
            false => (half..half + beyond, 0..0),
        };
        let left_out = beyond.saturating_sub(half);
        let remark = (left_out > 0).then(|| {
            Ok(Bytes::from(format!(
                "\n\n[dayfly: {left_out} bytes were left out here; the beginning and the end are kept]\n\n"
            )))
        });
        let full = (self.lost > 0).then(|| {
            let lost = self.lost;
            Ok(Bytes::from(format!("\n\n[dayfly: {lost} bytes are missing, as the machine's disk was full]\n")))
        });
        let read = |range| ranges(range).map(|(at, bytes)| self.read(at, bytes));
        read(head).chain(remark).chain(read(old)).chain(read(new)).chain(full)
    }

    fn read(&self, at: u64, bytes: u64) -> std::io::Result<Bytes> {
        let mut piece = vec![0; usize::try_from(bytes).unwrap_or(0)];
        self.file.read_exact_at(&mut piece, at)?;
        Ok(piece.into())
    }
}

fn ranges(range: std::ops::Range<u64>) -> impl Iterator<Item = (u64, u64)> {
    let end = range.end;
    range.step_by(usize::try_from(PIECE_BYTES).unwrap_or(1)).map(move |at| (at, PIECE_BYTES.min(end - at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(half: u64, writes: &[&[u8]]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let mut capture = Capture { half, ..Capture::create(&dir.path().join("log")).unwrap() };
        for write in writes {
            capture.write(write);
        }
        capture.view().unwrap().pieces().map(|piece| String::from_utf8(piece.unwrap().to_vec()).unwrap()).collect()
    }

    #[test]
    fn the_beginning_and_the_end_are_kept() {
        assert_eq!(kept(4, &[]), "");
        assert_eq!(kept(4, &[b"abc"]), "abc");
        assert_eq!(kept(4, &[b"abcdef"]), "abcdef");
        assert_eq!(kept(4, &[b"abcd", b"efgh"]), "abcdefgh");
        for writes in [&[&b"abcdefghijklm"[..]][..], &[b"abc", b"defgh", b"i", b"jklm"]] {
            let log = kept(4, writes);
            assert!(log.starts_with("abcd\n") && log.ends_with("\njklm") && log.contains(" 5 bytes"), "{log}");
        }
    }

    #[test]
    fn the_last_lines_are_at_hand() {
        let dir = tempfile::tempdir().unwrap();
        let mut capture = Capture::create(&dir.path().join("log")).unwrap();
        for n in 0..100 {
            capture.write(format!("line {n}\n").as_bytes());
        }
        let last = capture.last_lines();
        assert!(last.starts_with("line 88\n") && last.ends_with("line 99"), "{last}");
    }
}
