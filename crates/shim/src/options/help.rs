//! `--help` and the manual page, from the one table.

use super::table::{Row, SECTIONS};

const SUMMARY: &str = "the monitor of a container: stdio, attach socket, log, exit code";
const USAGE: &str = "-c ID -u ID -r RUNTIME -l TARGET [OPTION…]";
/// Where the help of an option begins, and where it ends.
const COLUMN: usize = 34;
const WIDTH: usize = 100;

/// What `--help` prints.
pub(super) fn help() -> String {
    let mut text = format!(
        "dhow-shim: {SUMMARY}\n\nUsage: dhow-shim {USAGE}\n\nIt takes conmon's options, and some of its own.\n"
    );
    for section in SECTIONS {
        text.push_str(&format!("\n{}:\n", section.heading));
        section.rows.iter().for_each(|row| explain(&mut text, &forms(row), row.help));
    }
    text.push_str("\nOthers:\n");
    explain(&mut text, "-h, -?, --help", "Print this help");
    text
}

/// `-c, --cid ID`.
fn forms(row: &Row) -> String {
    let letter = row.letter.map(|letter| format!("-{letter}, ")).unwrap_or_default();
    let value = if row.value.is_empty() { String::new() } else { format!(" {}", row.value) };
    format!("{letter}--{}{value}", row.name)
}

fn explain(text: &mut String, forms: &str, help: &str) {
    let mut line = format!("  {forms} ");
    if line.chars().count() > COLUMN {
        text.push_str(line.trim_end());
        text.push('\n');
        line = String::new();
    }
    let mut width = line.chars().count();
    line.extend(std::iter::repeat_n(' ', COLUMN - width));
    width = COLUMN;
    for word in help.split(' ') {
        let length = word.chars().count();
        if width > COLUMN && width + 1 + length > WIDTH {
            line.push('\n');
            line.extend(std::iter::repeat_n(' ', COLUMN));
            width = COLUMN;
        }
        if width > COLUMN {
            line.push(' ');
            width += 1;
        }
        line.push_str(word);
        width += length;
    }
    text.push_str(&line);
    text.push('\n');
}

/// The manual page, as man(7) wants it.
pub(super) fn manual() -> String {
    let mut page = format!(
        ".TH dhow-shim 1 \"\" \"dhow-shim {}\"\n.SH NAME\ndhow\\-shim \\- {SUMMARY}\n.SH SYNOPSIS\n.B dhow\\-shim\n{}\n",
        env!("CARGO_PKG_VERSION"),
        roff(USAGE)
    );
    page.push_str(".SH DESCRIPTION\n");
    for paragraph in DESCRIPTION {
        page.push_str(&format!(".PP\n{}\n", roff(paragraph)));
    }
    page.push_str(".SH OPTIONS\n");
    for section in SECTIONS {
        page.push_str(&format!(".SS {}\n", roff(section.heading)));
        for row in section.rows {
            page.push_str(&format!(".TP\n\\fB{}\\fR\n{}\n", roff(&forms(row)), roff(row.help)));
        }
    }
    for (heading, entries) in [("ENVIRONMENT", ENVIRONMENT), ("FILES", FILES)] {
        page.push_str(&format!(".SH {heading}\n"));
        for (name, text) in entries {
            page.push_str(&format!(".TP\n\\fB{}\\fR\n{}\n", roff(name), roff(text)));
        }
    }
    page.push_str(&format!(".SH EXIT STATUS\n{}\n.SH SEE ALSO\n{}\n", roff(STATUS), roff(SEE)));
    page
}

/// A line of text as roff takes it: no escape, no hyphen for a minus, no request at its beginning.
fn roff(text: &str) -> String {
    let escaped = text.replace('\\', "\\e").replace('-', "\\-");
    if escaped.starts_with(['.', '\'']) { format!("\\&{escaped}") } else { escaped }
}

const DESCRIPTION: &[&str] = &[
    "The monitor of one container, or of one process that is executed in a running container. It is started by a container engine: it waits for a word on the start pipe, leaves a process of its own behind, has the OCI runtime create the container, tells the engine the pid, holds stdin, stdout and stderr, writes the log, serves clients that attach, and records how the container ended.",
    "Its command line, messages, sockets, FIFOs and files are conmon's: an engine that knows conmon (podman, CRI-O) can be told to use it instead. What is marked \"not in conmon\" below is an addition.",
    "Options follow GLib's grammar: --x VALUE or --x=VALUE; a value may begin with a hyphen; a flag may have a value, which means nothing; words that belong to no option are ignored; of an option given twice the last counts, unless it can be repeated.",
    "The whole protocol is in the document \"The monitor's protocol\" (docs/shim.md in the source).",
];

const ENVIRONMENT: &[(&str, &str)] = &[
    (
        "_OCI_SYNCPIPE",
        "The number of an open descriptor: lines of JSON with the pid (or −1 and an error), and the exit code of an exec session, are written to it.",
    ),
    (
        "_OCI_STARTPIPE",
        "The number of an open descriptor: nothing is forked before something (or the end) was read from it.",
    ),
    (
        "_OCI_ATTACHPIPE",
        "The number of an open descriptor: told with --exec-attach when clients can attach.",
    ),
    ("LISTEN_PID", "Becomes the runtime's pid if it was the monitor's."),
    ("TZ", "The time zone of a k8s-file log, if it is not /etc/localtime's."),
];

const FILES: &[(&str, &str)] = &[
    (
        "BUNDLE/attach",
        "A socket (SOCK_SEQPACKET). To a client: a byte, 2 for stdout or 3 for stderr, and output; from it: input.",
    ),
    (
        "BUNDLE/ctl",
        "A FIFO. A line \"1 ROWS COLUMNS\" resizes the terminal, \"2 0 0\" reopens the log.",
    ),
    ("BUNDLE/oom", "Made when the container has met the out-of-memory killer."),
    ("EXIT-DIR/ID", "The exit code: 0 to 255, or −1."),
];

const STATUS: &str = "0 when the monitor stands on its own; with --sync the container's. 1 with a line on stderr if there is no monitor.";
const SEE: &str = "dhow(1), conmon(8), podman(1), runc(8)";
