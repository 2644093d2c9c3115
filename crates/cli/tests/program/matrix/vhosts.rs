//! Which vhosts stop the challenge?

use super::fault::Make::{Done, Lines, Vhost};
use super::fault::{Asked, Fault, Make};
use super::world::World;
use crate::disk;

/// A fault that makes every renewal fail, pebble agreeing.
const fn fatal(
    name: &'static str,
    what: &'static str,
    make: Make,
    finding: &'static str,
    fix: &'static str,
) -> Fault {
    let (verdict, asked) = ("will-fail", Asked::Refuses);
    Fault {
        name,
        what,
        make,
        verdict,
        finding,
        fix,
        asked,
    }
}

pub(crate) fn faults() -> Vec<Fault> {
    let mut faults = refusals();
    faults.extend(redirects());
    faults.extend(answers());
    faults.extend(blocks());
    faults
}

fn refusals() -> Vec<Fault> {
    REFUSALS.to_vec()
}

const REFUSALS: &[Fault] = &[
    fatal(
        "denied",
        "`deny all` in the server block",
        Lines("deny all;"),
        "challenge-forbidden",
        "exempt the path",
    ),
    fatal(
        "hidden",
        "a rule against hidden files",
        Lines(r"location ~ /\. { deny all; }"),
        "challenge-forbidden",
        "exempt the path",
    ),
    fatal(
        "return403",
        "`return 403` for `.well-known`",
        Lines("location ^~ /.well-known/ { return 403; }"),
        "challenge-forbidden",
        "exempt the path",
    ),
    fatal(
        "password",
        "a password before everything",
        Lines("auth_basic staff; auth_basic_user_file /dev/null;"),
        "challenge-forbidden",
        "`auth_basic off` for the path",
    ),
    fatal(
        "address",
        "an `if` on the visitor's address",
        Lines("if ($remote_addr ~ \"^(93\\.184\\.21|2a01)\") { return 403; }"),
        "challenge-forbidden",
        "exempt the path",
    ),
    fatal(
        "agent",
        "an `if` on the user agent",
        Lines("if ($http_user_agent ~* \"(curl|letsencrypt)\") { return 403; }"),
        "challenge-blocked-by-rule",
        "take the CA out of the list",
    ),
    fatal(
        "closed",
        "`return 444`",
        Lines("return 444;"),
        "challenge-connection-closed",
        "exempt the path",
    ),
    fatal(
        "method",
        "`return 405` for GET",
        Lines("if ($request_method = GET) { return 405; }"),
        "challenge-wrong-answer",
        "answer it with status 200",
    ),
    fatal(
        "internal",
        "`internal` for the path",
        Lines("location ^~ /.well-known/acme-challenge/ { internal; }"),
        "challenge-not-found",
        "take `internal` out",
    ),
    fatal(
        "return404",
        "`return 404` for `.well-known`",
        Lines("location /.well-known { return 404; }"),
        "challenge-not-found",
        "take the rule out",
    ),
    fatal(
        "return410",
        "`return 410` for everything",
        Lines("return 410;"),
        "challenge-not-found",
        "take the rule out",
    ),
];

fn redirects() -> Vec<Fault> {
    REDIRECTS.to_vec()
}

const REDIRECTS: &[Fault] = &[
    fatal(
        "circle",
        "a redirect to itself",
        Lines("return 301 http://$host$request_uri;"),
        "challenge-redirect-loop",
        "answer before the redirect",
    ),
    fatal(
        "hops",
        "more redirects than ten",
        Lines("return 302 http://$host$request_uri/x;"),
        "challenge-redirect-loop",
        "answer before the redirect",
    ),
    fatal(
        "port",
        "a redirect to port 8080",
        Lines("return 301 http://$host:8080$request_uri;"),
        "challenge-redirect-port",
        "mend the redirect",
    ),
    fatal(
        "scheme",
        "a redirect to another scheme",
        Lines("return 301 ftp://$host$request_uri;"),
        "challenge-redirect-elsewhere",
        "mend the redirect",
    ),
    fatal(
        "seeother",
        "a redirect with status 303",
        Lines("return 303 http://$host$request_uri;"),
        "challenge-redirect-elsewhere",
        "mend the redirect",
    ),
    fatal(
        "slash",
        "a redirect without the slash",
        Lines("location ~ ^/(.*)$ { return 301 http://$host$1; }"),
        "challenge-redirect-malformed",
        "mend the redirect",
    ),
    fatal(
        "nohost",
        "a redirect to an empty host",
        Lines("return 301 http://$arg_none$request_uri;"),
        "challenge-redirect-malformed",
        "mend the redirect",
    ),
    fatal(
        "unknownhost",
        "a redirect to a name that DNS does not know",
        Lines("return 301 http://nowhere.example.net$request_uri;"),
        "challenge-redirect-elsewhere",
        "mend the redirect",
    ),
    fatal(
        "neighbour",
        "a redirect to another host",
        Lines("return 301 http://93.184.216.99$request_uri;"),
        "challenge-not-found",
        "answer before the redirect",
    ),
    fatal(
        "https443",
        "a redirect to https where nobody listens",
        Lines("return 301 https://93.184.216.99$request_uri;"),
        "port-443-refused",
        "answer before the redirect",
    ),
];

fn answers() -> Vec<Fault> {
    ANSWERS.to_vec()
}

const ANSWERS: &[Fault] = &[
    fatal(
        "error500",
        "an application that fails",
        Lines("location / { return 500; }"),
        "challenge-server-error",
        "keep the application away from the path",
    ),
    fatal(
        "gateway",
        "a proxy to an application that is down",
        Lines("location / { proxy_pass http://127.0.0.1:9; }"),
        "challenge-server-error",
        "keep the proxy away from the path",
    ),
    fatal(
        "empty",
        "an empty page",
        Lines("location / { return 200 \"\"; }"),
        "challenge-wrong-answer",
        "answer before the catch-all",
    ),
    fatal(
        "page",
        "a catch-all page",
        Lines("location / { rewrite ^ /index.html break; }"),
        "challenge-wrong-answer",
        "answer before the catch-all",
    ),
    fatal(
        "other",
        "another client's line with another account",
        Lines(
            "location ~ ^/\\.well-known/acme-challenge/([-_a-zA-Z0-9]+)$ { return 200 \"$1.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI\"; }",
        ),
        "challenge-wrong-answer",
        "take the line out",
    ),
    Fault {
        asked: Asked::Refuses,
        ..fatal(
            "huge",
            "a body without an end",
            Done(huge, unhuge),
            "challenge-wrong-answer",
            "answer before the catch-all",
        )
    },
    fatal(
        "slow",
        "a byte a second",
        Lines("location / { rewrite ^ /index.html break; limit_rate 1; }"),
        "port-80-timeout",
        "keep whatever is slow away from the path",
    ),
];

/// Vhosts that are wrong as a whole.
fn blocks() -> Vec<Fault> {
    BLOCKS.to_vec()
}

const BLOCKS: &[Fault] = &[
    fatal(
        "nolisten",
        "no `listen 80`: the default server answers",
        Vhost("server { listen 443 ssl; listen [::]:443 ssl; server_name NAME; root ROOT; PAIR }"),
        "name-not-served",
        "let the block listen on 80",
    ),
    fatal(
        "v4only",
        "`listen` for IPv4 alone, and an AAAA record",
        Vhost(
            "server { listen 80; listen 443 ssl; listen [::]:443 ssl; server_name NAME; root ROOT; PAIR }",
        ),
        "name-not-served",
        "`listen [::]:80`",
    ),
    fatal(
        "twice",
        "an earlier server block with the same name",
        Vhost(
            "server { listen 80; listen [::]:80; server_name NAME; return 404; }\nserver { listen 80; listen [::]:80; listen 443 ssl; listen [::]:443 ssl; server_name NAME; root ROOT; PAIR }",
        ),
        "challenge-not-found",
        "take the name out of the other block",
    ),
    fatal(
        "root",
        "another `root` for the path",
        Vhost(
            "server { listen 80; listen [::]:80; listen 443 ssl; listen [::]:443 ssl; server_name NAME; root ROOT; PAIR location ^~ /.well-known/acme-challenge/ { root /nonexistent; } }",
        ),
        "webroot-missing",
        "make the folder, or correct the root",
    ),
];

fn huge(world: &mut World, domain: &str) {
    let root = world.host.nginx.document_root(domain);
    let file = std::fs::File::create(root.join("huge.bin")).unwrap();
    file.set_len(1 << 32).unwrap();
    let vhost = world.host.nginx.vhost(domain);
    let text = std::fs::read_to_string(&vhost).unwrap();
    disk::put(
        &vhost,
        text.replacen(
            "server_name",
            "location / { rewrite ^ /huge.bin break; }\n    server_name",
            1,
        ),
    );
    world.host.nginx.reload();
}

fn unhuge(world: &mut World, domain: &str) {
    let vhost = world.host.nginx.vhost(domain);
    let text = std::fs::read_to_string(&vhost).unwrap();
    disk::put(
        &vhost,
        text.replacen("location / { rewrite ^ /huge.bin break; }\n", "", 1),
    );
}
