//! The `carded` binary, for operators: `lint-config`, `explain`, `schema`, `keygen`, `revocations` and `token`.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use carded_cli::explain::{Question, Source, explain};
use carded_cli::{lint, revocations, token};
use carded_verifier::{Algorithm, GatewayKey, Timestamp, base64url};
use clap::{Args, Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "carded",
    version,
    about = "Checks Carded's configurations, and explains its decisions, without a proxy"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check a configuration: a bare one, or every one in a file of Envoy, Istio or Envoy Gateway
    #[command(
        long_about = "Check a configuration: a bare one (YAML or JSON), or every one in a file of Envoy, Istio or \
        Envoy Gateway. Prints FILE:LINE: path: message. Exit code 1 if there is an error."
    )]
    LintConfig {
        /// The file
        file: PathBuf,
    },
    /// Tell step by step what would be decided on a request; exit code 1 if it would be refused
    Explain(Explain),
    /// Print the JSON Schema of the configuration
    Schema,
    /// Draw a key for `forward.token.keys`: the secret on the first line, then the public JWK that services will fetch
    Keygen {
        /// EdDSA or ES256
        #[arg(long, default_value = "EdDSA")]
        algorithm: String,
    },
    /// Make the compact form of a list of what is revoked, from entries one a line
    Revocations {
        /// The entries: JSON objects like {"sub": "alice", "iss": "https://…", "before": 1790000000}, one a line
        file: PathBuf,
        /// The file to write; the salt of the one that it replaces is kept
        #[arg(long)]
        output: PathBuf,
    },
    /// API tokens
    Token {
        #[command(subcommand)]
        command: TokenCommand,
    },
}

#[derive(Subcommand)]
enum TokenCommand {
    /// Make a token: prints it, and the entry by which the configuration knows it
    New {
        /// Whose it is
        #[arg(long)]
        owner: String,
        /// What it may be used for; may be repeated
        #[arg(long = "scope")]
        scopes: Vec<String>,
        /// When it ends (2027-01-31T00:00:00Z)
        #[arg(long)]
        expires: Option<String>,
    },
}

#[derive(Args)]
struct Explain {
    /// The method (GET)
    method: String,
    /// The path, with its query if it has one (/api/orders)
    path: String,
    /// The configuration, or the proxy's file that contains it
    #[arg(long)]
    config: PathBuf,
    /// A file with the token, which is then sent as `authorization: Bearer …`
    #[arg(long)]
    token: Option<PathBuf>,
    /// A header of the request ('x-env: prod'); may be repeated
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The host that is asked for; by default that of the first of `origins`
    #[arg(long)]
    host: Option<String>,
    /// A JWK Set to use instead of fetching the issuer's
    #[arg(long, value_name = "FILE", conflicts_with = "fetch")]
    jwks: Option<PathBuf>,
    /// Fetch the documents that are needed (with curl)
    #[arg(long)]
    fetch: bool,
    /// The time to decide at, in seconds since 1970; by default now
    #[arg(long, value_name = "UNIX")]
    now: Option<i64>,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::LintConfig { file } => lint_config(&file),
        Command::Explain(arguments) => explain_request(&arguments),
        Command::Schema => {
            print!("{}", carded_cli::schema());
            Ok(true)
        }
        Command::Revocations { file, output } => revocations::write(&file, &output).map(|line| {
            println!("{line}");
            true
        }),
        Command::Token { command: TokenCommand::New { owner, scopes, expires } } => {
            token::new(&owner, &scopes, expires.as_deref(), revocations::random).map(|(token, entry)| {
                println!("{token}");
                eprintln!("That is the token: it is nowhere else. The entry for `api_tokens.NAME.tokens`:");
                println!("{entry}");
                true
            })
        }
        Command::Keygen { algorithm } => keygen(&algorithm),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("carded: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn keygen(algorithm: &str) -> Result<bool> {
    let mut secret = [0; 32];
    let source = "/dev/urandom";
    std::fs::File::open(source)
        .and_then(|mut source| source.read_exact(&mut secret))
        .with_context(|| format!("there is no {source}: `openssl rand -base64 32` makes the secret too"))?;
    let algorithm = Algorithm::parse(algorithm).context("EdDSA and ES256 are the algorithms that are signed with")?;
    let key = GatewayKey::from_secret(algorithm, &secret)?;
    println!("{}\n{}", base64url::encode(secret), serde_json::to_string(key.jwk())?);
    Ok(true)
}

fn lint_config(file: &Path) -> Result<bool> {
    carded_cli::lint_file(file, &mut std::io::stdout())
}

fn explain_request(arguments: &Explain) -> Result<bool> {
    let file = arguments.config.display();
    let text = read(&arguments.config)?;
    let configurations =
        lint::configurations(&text).map_err(|error| anyhow::anyhow!("{file}:{}: {}", error.line, error.message))?;
    let node = match configurations.as_slice() {
        [] => bail!("{file} has no configuration of Carded"),
        [one] => &one.node,
        _ => bail!("{file} has several configurations of Carded: give one alone"),
    };
    let gate = lint::build(node, &|name| std::env::var(name).ok()).map_err(|errors| {
        let lines: Vec<_> =
            errors.iter().map(|error| format!("{file}:{}: {error}", node.line_of(&error.path))).collect();
        anyhow::anyhow!("the configuration has errors\n{}", lines.join("\n"))
    })?;
    let mut headers = Vec::new();
    for header in &arguments.headers {
        let (name, value) = header.split_once(':').context("a header is written as 'name: value'")?;
        headers.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    if let Some(token) = &arguments.token {
        headers.push(("authorization".to_owned(), format!("Bearer {}", read(token)?.trim())));
    }
    let origin = node.to_value()["origins"][0].as_str().map(str::to_owned).unwrap_or_default();
    let host = origin.split_once("://").map_or("localhost", |(_, host)| host).to_owned();
    let question = Question {
        method: arguments.method.clone(),
        path: arguments.path.clone(),
        host: arguments.host.clone().unwrap_or(host),
        headers,
    };
    let source = match (&arguments.jwks, arguments.fetch) {
        (Some(file), _) => Source::Jwks(file.clone()),
        (None, true) => Source::Curl,
        (None, false) => Source::None,
    };
    let now = match arguments.now {
        Some(now) => now,
        None => i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?,
    };
    let explanation = explain(&gate, &question, &source, Timestamp::from_unix(now))?;
    print!("{}", explanation.text);
    Ok(explanation.status.is_none())
}

fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}
