//! Which system call changes what?

use std::fs;
use std::path::{Path, PathBuf};

use nix::libc;

use crate::effect::Effect;
use crate::tracee::{Tracee, resolved};

/// What of the world is looked at.
#[derive(Clone, Debug)]
pub struct Watched {
    /// The folders whose changes count.
    pub folders: Vec<PathBuf>,
    /// The port at which the CA listens.
    pub ca_port: u16,
    /// Whether files that are only read count too.
    pub opens: bool,
}

impl Watched {
    fn sees(&self, path: &Path) -> bool {
        // SQLite's shared memory is none of the disk's: it is made anew when nobody holds it.
        self.folders.iter().any(|folder| path.starts_with(folder))
            && !path.as_os_str().as_encoded_bytes().ends_with(b"-shm")
    }

    fn keeps(&self, effect: Effect) -> Option<Effect> {
        let seen = match &effect {
            Effect::Make { path, .. }
            | Effect::Write { path, .. }
            | Effect::Length { path, .. }
            | Effect::Sync(path)
            | Effect::SyncAll(path)
            | Effect::SecondName { path, .. }
            | Effect::Link { path, .. }
            | Effect::Remove(path)
            | Effect::MakeFolder { path, .. }
            | Effect::RemoveFolder(path)
            | Effect::Mode { path, .. }
            | Effect::Owner(path)
            | Effect::Open(path) => self.sees(path),
            Effect::Rename { from, to, .. } => self.sees(from) || self.sees(to),
            Effect::Request(_) | Effect::Reply(_) | Effect::Program | Effect::Signal => true,
        };
        seen.then_some(effect)
    }
}

/// The connections of a process that is being looked at.
#[derive(Debug, Default)]
pub(crate) struct Connections(std::collections::HashMap<u64, u16>);

impl Connections {
    fn lead_to(&self, tracee: &Tracee, port: u16) -> bool {
        self.0.get(&tracee.argument(0)) == Some(&port)
    }

    /// Takes in where a connection leads, or ended.
    fn take_in(&mut self, tracee: &Tracee) {
        let descriptor = tracee.argument(0);
        match tracee.call() {
            libc::SYS_connect => {
                let address = tracee.bytes(tracee.argument(1), 4);
                if let [_, _, high, low] = address[..] {
                    self.0.insert(descriptor, u16::from_be_bytes([high, low]));
                }
            }
            libc::SYS_close => {
                self.0.remove(&descriptor);
            }
            _ => {}
        }
    }
}

/// Says what the call that begins would change; `None` when that is nothing, or nothing that is watched.
pub(crate) fn effect(
    tracee: &Tracee,
    watched: &Watched,
    connections: &mut Connections,
) -> Option<Effect> {
    connections.take_in(tracee);
    let effect = on_names(tracee)
        .or_else(|| on_files(tracee, watched))
        .or_else(|| outside(tracee, watched, connections))?;
    watched.keeps(effect)
}

/// Says whether the call that ended brought something of the CA's.
pub(crate) fn reply(
    tracee: &Tracee,
    watched: &Watched,
    connections: &Connections,
) -> Option<Effect> {
    let reads = [
        libc::SYS_read,
        libc::SYS_readv,
        libc::SYS_recvfrom,
        libc::SYS_recvmsg,
    ];
    let length = usize::try_from(tracee.result()).ok()?;
    let came = length > 0
        && reads.contains(&tracee.call())
        && connections.lead_to(tracee, watched.ca_port);
    came.then_some(Effect::Reply(length))
}

/// Names that are given and taken.
fn on_names(tracee: &Tracee) -> Option<Effect> {
    let argument = |place| tracee.argument(place);
    let here = |text: usize| resolved(&tracee.path_at(NO_FOLDER, argument(text)));
    let at = |folder: usize| resolved(&tracee.path_at(argument(folder), argument(folder + 1)));
    let effect = match tracee.call() {
        libc::SYS_rename => rename(here(0), here(1), 0),
        libc::SYS_renameat => rename(at(0), at(2), 0),
        libc::SYS_renameat2 => rename(at(0), at(2), argument(4)),
        libc::SYS_link => Effect::SecondName {
            of: here(0),
            path: here(1),
        },
        libc::SYS_linkat => Effect::SecondName {
            of: at(0),
            path: at(2),
        },
        libc::SYS_symlink => Effect::Link {
            target: tracee.text(argument(0)),
            path: here(1),
        },
        libc::SYS_symlinkat => Effect::Link {
            target: tracee.text(argument(0)),
            path: at(1),
        },
        libc::SYS_unlink => there(here(0)).map(Effect::Remove)?,
        libc::SYS_rmdir => there(here(0)).map(Effect::RemoveFolder)?,
        libc::SYS_unlinkat if argument(2) & AT_REMOVEDIR != 0 => {
            there(at(0)).map(Effect::RemoveFolder)?
        }
        libc::SYS_unlinkat => there(at(0)).map(Effect::Remove)?,
        libc::SYS_mkdir => make_folder(here(0), argument(1))?,
        libc::SYS_mkdirat => make_folder(at(0), argument(2))?,
        _ => return None,
    };
    Some(effect)
}

/// What files hold, and whose they are.
fn on_files(tracee: &Tracee, watched: &Watched) -> Option<Effect> {
    let argument = |place| tracee.argument(place);
    let open = || tracee.open(argument(0)).filter(|path| path.is_absolute());
    let effect = match tracee.call() {
        libc::SYS_open => opened(
            &tracee.path_at(NO_FOLDER, argument(0)),
            argument(1),
            argument(2),
        )?,
        libc::SYS_openat => opened(
            &tracee.path_at(argument(0), argument(1)),
            argument(2),
            argument(3),
        )?,
        libc::SYS_creat => opened(
            &tracee.path_at(NO_FOLDER, argument(0)),
            (libc::O_CREAT | libc::O_TRUNC) as u64,
            argument(1),
        )?,
        libc::SYS_write | libc::SYS_pwrite64 | libc::SYS_writev | libc::SYS_pwritev => {
            // Looked at first: most writes are not to files that count, and their bytes need not be read.
            let path = open().filter(|path| watched.sees(path))?;
            written(tracee, path)
        }
        libc::SYS_ftruncate => Effect::Length {
            path: open()?,
            length: argument(1),
        },
        libc::SYS_fallocate => Effect::Length {
            length: argument(2) + argument(3),
            path: open()?,
        },
        libc::SYS_fsync | libc::SYS_fdatasync => Effect::Sync(open()?),
        libc::SYS_syncfs => Effect::SyncAll(open()?),
        libc::SYS_fchmod => mode(open()?, argument(1)),
        libc::SYS_chmod => mode(
            resolved(&tracee.path_at(NO_FOLDER, argument(0))),
            argument(1),
        ),
        libc::SYS_fchmodat => mode(
            resolved(&tracee.path_at(argument(0), argument(1))),
            argument(2),
        ),
        libc::SYS_fchown => Effect::Owner(open()?),
        libc::SYS_chown | libc::SYS_lchown => {
            Effect::Owner(resolved(&tracee.path_at(NO_FOLDER, argument(0))))
        }
        libc::SYS_fchownat => Effect::Owner(resolved(&tracee.path_at(argument(0), argument(1)))),
        _ => return None,
    };
    Some(effect)
}

/// The CA, and other programs.
fn outside(tracee: &Tracee, watched: &Watched, connections: &Connections) -> Option<Effect> {
    let argument = |place| tracee.argument(place);
    let to_ca = || connections.lead_to(tracee, watched.ca_port);
    let length = |bytes: u64| Effect::Request(usize::try_from(bytes).unwrap_or(0));
    match tracee.call() {
        libc::SYS_write | libc::SYS_sendto if to_ca() => Some(length(argument(2))),
        libc::SYS_writev if to_ca() => Some(Effect::Request(
            tracee.gathered(argument(1), argument(2)).len(),
        )),
        libc::SYS_sendmsg if to_ca() => Some(Effect::Request(0)),
        libc::SYS_vfork => Some(Effect::Program),
        libc::SYS_clone if argument(0) & CLONE_VFORK != 0 => Some(Effect::Program),
        libc::SYS_clone3 => {
            let flags = tracee.bytes(argument(0), 8);
            let flags = u64::from_ne_bytes(flags.try_into().ok()?);
            (flags & CLONE_VFORK != 0).then_some(Effect::Program)
        }
        libc::SYS_pidfd_send_signal if argument(1) != 0 => Some(Effect::Signal),
        libc::SYS_kill if argument(1) != 0 => Some(Effect::Signal),
        _ => None,
    }
}

fn rename(from: PathBuf, to: PathBuf, flags: u64) -> Effect {
    Effect::Rename {
        from,
        to,
        exchange: flags & RENAME_EXCHANGE != 0,
    }
}

/// Removing what is not there, as a precaution, changes nothing.
fn there(path: PathBuf) -> Option<PathBuf> {
    fs::symlink_metadata(&path).is_ok().then_some(path)
}

fn make_folder(path: PathBuf, mode: u64) -> Option<Effect> {
    let mode = u32::try_from(mode & 0o7777).unwrap_or(0);
    let is_new = fs::symlink_metadata(&path).is_err();
    is_new.then_some(Effect::MakeFolder { path, mode })
}

fn mode(path: PathBuf, mode: u64) -> Effect {
    let mode = u32::try_from(mode & 0o7777).unwrap_or(0);
    Effect::Mode { path, mode }
}

fn opened(path: &Path, flags: u64, mode: u64) -> Option<Effect> {
    let flag = |flag: i32| flags & u64::from(flag.unsigned_abs()) != 0;
    let path = resolved(path);
    let exists = fs::symlink_metadata(&path).is_ok();
    let makes = flag(libc::O_CREAT) && !exists;
    let empties = flag(libc::O_TRUNC) && exists;
    let mode = u32::try_from(mode & 0o7777).unwrap_or(0);
    Some(if makes || empties {
        Effect::Make { path, mode }
    } else {
        Effect::Open(path)
    })
}

fn written(tracee: &Tracee, path: PathBuf) -> Effect {
    let [descriptor, address, length, place] = [0, 1, 2, 3].map(|place| tracee.argument(place));
    let whole = |length| tracee.bytes(address, usize::try_from(length).unwrap_or(0));
    let (offset, bytes) = match tracee.call() {
        libc::SYS_pwrite64 => (place, whole(length)),
        libc::SYS_pwritev => (place, tracee.gathered(address, length)),
        libc::SYS_writev => (
            tracee.place_in(descriptor),
            tracee.gathered(address, length),
        ),
        _ => (tracee.place_in(descriptor), whole(length)),
    };
    Effect::Write {
        path,
        offset,
        bytes,
    }
}

/// Stands for the working folder.
const NO_FOLDER: u64 = u64::MAX;

/// From the kernel's `linux/fcntl.h`, `linux/fs.h` and `linux/sched.h`.
const AT_REMOVEDIR: u64 = 0x200;
const RENAME_EXCHANGE: u64 = 2;
const CLONE_VFORK: u64 = 0x4000;
