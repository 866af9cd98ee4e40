//! The program on a pseudo terminal, whose screen is read as text.

use std::{
    io::{Read as _, Write},
    num::NonZero,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use regex::Regex;

use crate::program::Arcadia;

/// The longest wait for a screen.
const PATIENCE: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(50);

fn size_of(number: u16) -> NonZero<u16> {
    NonZero::new(number).unwrap()
}

/// One run of the program on a separate terminal.
pub(crate) struct Terminal {
    screen: Arc<Mutex<vt100::Parser>>,
    keys: Box<dyn Write + Send>,
    master: Box<dyn MasterPty + Send>,
    child: Box<dyn Child + Send + Sync>,
}

impl Terminal {
    pub(crate) fn run(arcadia: &Arcadia, arguments: &[&str], columns: u16, rows: u16) -> Self {
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_kubectl-arcadia"));
        command.args(arguments);
        command.env_clear();
        command.env("TERM", "xterm-256color");
        for (name, value) in arcadia.environment() {
            command.env(name, value);
        }
        let child = pair.slave.spawn_command(command).unwrap();
        let screen = Arc::new(Mutex::new(vt100::Parser::new(size_of(rows), size_of(columns), 0)));
        let mut output = pair.master.try_clone_reader().unwrap();
        let reading = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // It ends when the program does.
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                reading.lock().unwrap().process(&bytes[..count]);
            }
        });
        let keys = pair.master.take_writer().unwrap();
        Self { screen, keys, master: pair.master, child }
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        self.screen.lock().unwrap().screen_mut().set_size(size_of(rows), size_of(columns));
        self.master.resize(PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 }).unwrap();
    }

    /// Sends a signal, such as INT, only to the program.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.process_id().unwrap().to_string();
        assert!(std::process::Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    /// The lines of the screen.
    pub(crate) fn text(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    /// The lines of the screen with stable text in place of ages and hashes of names.
    pub(crate) fn picture(&self) -> String {
        let text = self.text();
        let text = Regex::new(r"-[0-9a-f]{10}-(\d)").unwrap().replace_all(&text, "-HASH-$1");
        let text = Regex::new(r"(?m)\b\d{1,3}s( |$)").unwrap().replace_all(&text, "0s$1");
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        lines.join("\n").trim_end().to_owned() + "\n"
    }

    /// Waits until the screen contains a text.
    pub(crate) async fn shows(&self, wanted: &str) {
        self.becomes(wanted, |text| text.contains(wanted)).await;
    }

    /// Waits until the screen meets the condition.
    pub(crate) async fn becomes(&self, what: &str, is_it: impl Fn(&str) -> bool) {
        let began = Instant::now();
        while !is_it(&self.text()) {
            assert!(began.elapsed() < PATIENCE, "the screen does not show {what:?}:\n{}", self.text());
            tokio::time::sleep(POLL).await;
        }
    }

    /// Returns true if the terminal is ready for a shell: the main screen, and a visible cursor at the start of a line.
    pub(crate) fn is_clean(&self) -> bool {
        let parser = self.screen.lock().unwrap();
        let screen = parser.screen();
        !screen.alternate_screen() && !screen.hide_cursor() && screen.cursor_position().1 == 0
    }

    /// Waits for the end of the program, and returns its exit code.
    pub(crate) async fn ends(&mut self) -> u32 {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                // Its last output may not have arrived yet.
                tokio::time::sleep(POLL * 4).await;
                return status.exit_code();
            }
            assert!(began.elapsed() < PATIENCE, "it does not end:\n{}", self.text());
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}
