//! A file system in a file, whose power can be cut: ext4 on a loop device, and `FS_IOC_SHUTDOWN`.
//! Refuses to touch anything but the image and the mount that it made itself.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Outcome;
use crate::machine::fresh_dir;

/// The image is sparse; one engine makes a file of 1 GiB that is, too.
const IMAGE_BYTES: u64 = 2 << 30;

/// From here on nothing more reaches the image, not even the journal (flag 2).
const SHUT_DOWN: &str = "import fcntl, os, struct, sys; \
    fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack('I', 2))";

/// A file system that is unmounted when this is dropped.
#[derive(Debug)]
pub(super) struct Loop {
    image: PathBuf,
    pub(super) mount: PathBuf,
}

impl Loop {
    pub(super) fn new(dir: &Path) -> Outcome<Loop> {
        fresh_dir(dir)?;
        let new = Loop { image: dir.join("image"), mount: dir.join("mount") };
        std::fs::create_dir(&new.mount)?;
        std::fs::File::create(&new.image)?.set_len(IMAGE_BYTES)?;
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&new.image))?;
        new.mount()?;
        Ok(new)
    }

    pub(super) fn mount(&self) -> Outcome<()> {
        run(Command::new("mount").args(["-o", "loop", "-t", "ext4"]).args([&self.image, &self.mount]))
    }

    pub(super) fn unmount(&self) -> Outcome<()> {
        run(Command::new("umount").arg(&self.mount))
    }

    pub(super) fn shut_down(&self) -> Outcome<()> {
        run(Command::new("python3").args(["-c", SHUT_DOWN]).arg(&self.mount))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        // It may be unmounted already, and then there is nothing to do.
        drop(Command::new("umount").arg("-q").arg(&self.mount).output());
    }
}

fn run(command: &mut Command) -> Outcome<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()).into())
}
