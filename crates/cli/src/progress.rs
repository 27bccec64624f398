//! How far a load or import has come: a line a layer on a terminal, nothing elsewhere.

use std::collections::HashMap;
use std::io;
use std::sync::mpsc;

use crate::error::warn_line;
use anyhow::Result;
use dhow_engine::{Error, Event, Progress};
use dhow_sys::tty::is_terminal;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Runs `work` and shows its progress on stderr.
pub(crate) fn shown<T: Send>(
    quiet: bool,
    work: impl FnOnce(&Progress) -> Result<T, Error> + Send,
) -> Result<T> {
    if quiet || !is_terminal(io::stderr()) {
        return Ok(work(&Progress::default())?);
    }
    let (sender, events) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || draw(&events));
        // The drawing ends when the sender is dropped with this closure's progress.
        let progress = Progress::to(sender);
        Ok(work(&progress)?)
    })
}

/// The same, and where stderr is no terminal, a line for each thing that happens.
pub(crate) fn told<T: Send>(
    quiet: bool,
    work: impl FnOnce(&Progress) -> Result<T, Error> + Send,
) -> Result<T> {
    if quiet || is_terminal(io::stderr()) {
        return shown(quiet, work);
    }
    let (sender, events) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for event in events {
                tell(&event);
            }
        });
        let progress = Progress::to(sender);
        Ok(work(&progress)?)
    })
}

fn tell(event: &Event) {
    let line = match event {
        Event::Trying { name } => format!("Trying to pull {name}..."),
        Event::Retrying { why } => format!("Trying again: {why}"),
        Event::Started { layer, .. } => format!("Copying blob {layer}"),
        Event::Finished { layer } => format!("Copying blob {layer} done"),
        Event::Present { layer } => format!("Copying blob {layer} skipped: already exists"),
        _ => return,
    };
    warn_line(&line);
}

fn draw(events: &mpsc::Receiver<Event>) {
    let bars = MultiProgress::new();
    // Templates are constant and right; the plain style is as good where they are not.
    let style = ProgressStyle::with_template("{prefix} [{bar:30}] {bytes}/{total_bytes} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let mut layers: HashMap<String, ProgressBar> = HashMap::new();
    let short = |layer: &dyn ToString| {
        layer.to_string().trim_start_matches("sha256:").chars().take(12).collect::<String>()
    };
    for event in events {
        match event {
            Event::Started { layer, size } => {
                let bar = bars.add(
                    ProgressBar::new(size).with_style(style.clone()).with_prefix(short(&layer)),
                );
                layers.insert(layer.to_string(), bar);
            }
            Event::Advanced { layer, bytes } => {
                if let Some(bar) = layers.get(&layer.to_string()) {
                    bar.set_position(bytes);
                }
            }
            Event::Finished { layer } => {
                if let Some(bar) = layers.remove(&layer.to_string()) {
                    bar.finish_with_message("done");
                }
            }
            Event::Present { layer } => {
                let style = ProgressStyle::with_template("{prefix} {msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_bar());
                let bar = ProgressBar::new(0).with_style(style).with_prefix(short(&layer));
                bars.add(bar).finish_with_message("already exists");
            }
            Event::Trying { name } => drop(bars.println(format!("Trying to pull {name}..."))),
            Event::Retrying { why } => drop(bars.println(format!("Trying again: {why}"))),
            _ => {}
        }
    }
    for bar in layers.into_values() {
        bar.abandon();
    }
}
