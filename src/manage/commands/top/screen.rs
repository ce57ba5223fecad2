//! The terminal: in raw mode and on the alternate screen, and as it was before.

use std::fs::File;
use std::io::{self, Stdout, Write, stdout};
use std::os::fd::AsFd;

use ratatui::backend::{Backend, TermionBackend};
use ratatui::layout::{Rect, Size};
use ratatui::termion::cursor;
use ratatui::termion::screen::{ToAlternateScreen, ToMainScreen};
use ratatui::{Terminal as Display, TerminalOptions, Viewport};
use signal_hook::consts::SIGTSTP;

use super::draw;
use super::view::View;
use crate::sys::terminal::Terminal;

/// The modes in which a terminal marks what is pasted (xterm's `ctlseqs`).
const PASTE_ON: &str = "\x1b[?2004h";
const PASTE_OFF: &str = "\x1b[?2004l";

/// A terminal that shows the view. When this is dropped, the terminal is as it was before.
pub(super) struct Screen {
    terminal: Terminal,
    /// `None` while the terminal is as it was before.
    display: Option<Display<TermionBackend<Stdout>>>,
}

impl Screen {
    /// Takes the terminal. `None` if it can't be used, for example from the background.
    ///
    /// # Errors
    /// Those of write(2), and of asking for the size.
    pub(super) fn open() -> io::Result<Option<Screen>> {
        let Some(terminal) = Terminal::raw(io::stdin().as_fd()) else { return Ok(None) };
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let _ = show_main();
            report(info);
        }));
        let mut screen = Screen { terminal, display: None };
        screen.enter()?;
        Ok(Some(screen))
    }

    /// Where the user's keys are read from, without waiting for them.
    pub(super) fn input(&self) -> &File {
        self.terminal.file()
    }

    /// Takes the terminal again, with an empty screen. In the background this process is stopped, as a
    /// shell expects of those who want the terminal there, until it is in the foreground.
    ///
    /// # Errors
    /// Those of write(2), and of asking for the size.
    pub(super) fn enter(&mut self) -> io::Result<()> {
        while self.terminal.is_in_background() {
            let _ = signal_hook::low_level::emulate_default_handler(SIGTSTP);
        }
        self.terminal.retake();
        let mut output = stdout();
        write!(output, "{ToAlternateScreen}{PASTE_ON}{}", cursor::Hide)?;
        output.flush()?;
        let backend = TermionBackend::new(output);
        // A serial line does not know its size.
        let viewport = match backend.size()? {
            Size { width: 0, .. } | Size { height: 0, .. } => {
                Viewport::Fixed(Rect::new(0, 0, 80, 24))
            }
            _ => Viewport::Fullscreen,
        };
        let mut display = Display::with_options(backend, TerminalOptions { viewport })?;
        display.hide_cursor()?;
        self.display = Some(display);
        Ok(())
    }

    /// Gives the terminal back. Errors are ignored, as the terminal may be gone.
    pub(super) fn leave(&mut self) {
        if self.display.take().is_some() {
            let _ = show_main();
        }
        self.terminal.restore();
    }

    /// Sets raw mode on the main screen, for one key.
    pub(super) fn listen(&self) {
        self.terminal.retake();
    }

    /// Shows the view.
    ///
    /// # Errors
    /// Those of write(2), and of asking for the size.
    pub(super) fn draw(&mut self, view: &mut View) -> io::Result<()> {
        if let Some(display) = &mut self.display {
            let now = std::time::SystemTime::now();
            display.draw(|frame| draw::draw(frame, view, now))?;
        }
        Ok(())
    }
}

/// The modes of the terminal have their own.
impl Drop for Screen {
    fn drop(&mut self) {
        self.leave();
    }
}

fn show_main() -> io::Result<()> {
    let mut output = stdout();
    write!(output, "{PASTE_OFF}{}{ToMainScreen}", cursor::Show)?;
    output.flush()
}
