//! What is a thread about to do, that stands still at a system call?

use std::ffi::OsStr;
use std::fs;
use std::io::IoSliceMut;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

/// A thread that stands still.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tracee {
    thread: Pid,
    registers: libc::user_regs_struct,
}

impl Tracee {
    /// Reads the registers of a thread that stands at a system call.
    pub(crate) fn at(thread: Pid) -> Result<Self, Errno> {
        let registers = ptrace::getregs(thread)?;
        Ok(Self { thread, registers })
    }

    /// Returns the number of the system call.
    pub(crate) fn call(&self) -> i64 {
        self.registers.orig_rax.cast_signed()
    }

    /// Returns one of the first five arguments.
    pub(crate) fn argument(&self, place: usize) -> u64 {
        let registers = &self.registers;
        [
            registers.rdi,
            registers.rsi,
            registers.rdx,
            registers.r10,
            registers.r8,
        ][place]
    }

    /// Returns what the call returned, once it did.
    pub(crate) fn result(&self) -> i64 {
        self.registers.rax.cast_signed()
    }

    /// Makes the kernel do nothing at all.
    pub(crate) fn skip(mut self) -> Result<(), Errno> {
        self.registers.orig_rax = u64::MAX;
        ptrace::setregs(self.thread, self.registers)
    }

    /// Makes the call return this error.
    pub(crate) fn fail(mut self, errno: i32) -> Result<(), Errno> {
        self.registers.rax = i64::from(-errno).cast_unsigned();
        ptrace::setregs(self.thread, self.registers)
    }

    /// Reads memory.
    pub(crate) fn bytes(&self, address: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let from = RemoteIoVec {
            base: usize::try_from(address).unwrap_or(0),
            len: length,
        };
        let read = process_vm_readv(self.thread, &mut [IoSliceMut::new(&mut bytes)], &[from]);
        bytes.truncate(read.unwrap_or(0));
        bytes
    }

    /// Reads the parts that a `writev` names.
    pub(crate) fn gathered(&self, address: u64, parts: u64) -> Vec<u8> {
        let parts = usize::try_from(parts).unwrap_or(0);
        let table = self.bytes(address, parts * 16);
        let number = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().unwrap_or_default());
        table
            .chunks_exact(16)
            .flat_map(|part| {
                let length = usize::try_from(number(&part[8..])).unwrap_or(0);
                self.bytes(number(&part[..8]), length)
            })
            .collect()
    }

    /// Reads a path, as it was given.
    pub(crate) fn text(&self, address: u64) -> PathBuf {
        // No further than the page, for the next may not be there.
        let mut text = Vec::new();
        let mut at = address;
        while text.len() < PATH_MAX {
            let rest = usize::try_from(PAGE - at % PAGE).unwrap_or(0);
            let part = self.bytes(at, rest);
            if let Some(end) = part.iter().position(|byte| *byte == 0) {
                text.extend_from_slice(&part[..end]);
                break;
            }
            if part.is_empty() {
                break;
            }
            at += part.len() as u64;
            text.extend(part);
        }
        PathBuf::from(OsStr::from_bytes(&text))
    }

    /// Returns a path in full: `text` below the folder that an open file stands for.
    pub(crate) fn path_at(&self, folder: u64, text: u64) -> PathBuf {
        let text = self.text(text);
        if text.is_absolute() {
            return text;
        }
        // AT_FDCWD is negative, in 32 bits.
        let above = match (folder as u32).cast_signed() {
            descriptor @ 0.. => self.open(descriptor.unsigned_abs().into()),
            _ => fs::read_link(format!("/proc/{}/cwd", self.thread)).ok(),
        };
        above.unwrap_or_default().join(text)
    }

    /// Returns what a descriptor stands for, such as a path or `socket:[17]`.
    pub(crate) fn open(&self, descriptor: u64) -> Option<PathBuf> {
        fs::read_link(format!("/proc/{}/fd/{descriptor}", self.thread)).ok()
    }

    /// Returns the place in the file at which a descriptor reads and writes.
    pub(crate) fn place_in(&self, descriptor: u64) -> u64 {
        let facts = fs::read_to_string(format!("/proc/{}/fdinfo/{descriptor}", self.thread));
        let facts = facts.unwrap_or_default();
        let place = facts.lines().find_map(|line| line.strip_prefix("pos:"));
        place
            .and_then(|place| place.trim().parse().ok())
            .unwrap_or(0)
    }
}

/// Returns the file behind a path's links, but not behind the last one.
pub(crate) fn resolved(path: &Path) -> PathBuf {
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
        return path.to_owned();
    };
    above
        .canonicalize()
        .map_or_else(|_| path.to_owned(), |above| above.join(name))
}

/// The longest path that Linux takes.
const PATH_MAX: usize = 4096;

/// The kernel's, on x86-64.
const PAGE: u64 = 4096;
