//! How far a load or import has come: a line a layer on a terminal, nothing elsewhere.

use std::collections::HashMap;
use std::io;
use std::sync::mpsc;

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
            _ => {}
        }
    }
    for bar in layers.into_values() {
        bar.abandon();
    }
}
