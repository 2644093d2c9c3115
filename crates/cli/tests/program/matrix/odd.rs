//! Which configurations are odd, and healthy all the same?

/// A site whose renewal must succeed, and about which nothing fatal may be said.
#[derive(Clone, Copy)]
pub(crate) struct Odd {
    /// Its name, which is also the first label of its site.
    pub(crate) name: &'static str,
    /// What is odd about it.
    pub(crate) what: &'static str,
    /// Its vhost; `NAME`, `ROOT` and `PAIR` are replaced.
    pub(crate) vhost: &'static str,
    /// The records of its name.
    pub(crate) records: &'static [&'static str],
}

/// The records of a name that leads here by both families.
const BOTH: &[&str] = &["A 93.184.215.7", "AAAA 2a01:4f8:aa::7"];

/// A block that listens as most do; the rest of it follows.
macro_rules! usual {
    ($rest:literal) => {
        concat!(
            "server { listen 80; listen [::]:80; listen 443 ssl; listen [::]:443 ssl; server_name NAME; root ROOT; PAIR ",
            $rest,
            " }"
        )
    };
}

pub(crate) fn configurations() -> Vec<Odd> {
    CONFIGURATIONS.to_vec()
}

const CONFIGURATIONS: &[Odd] = &[
    odd(
        "proxied",
        "everything goes to an application, which is down",
        usual!("location / { proxy_pass http://127.0.0.1:9; }"),
        BOTH,
    ),
    odd(
        "cache",
        "a cache in front of a back block, as with Varnish",
        concat!(
            usual!("location / { proxy_pass http://127.0.0.1:6081; proxy_set_header Host $host; }"),
            "\nserver { listen 127.0.0.1:6081; server_name NAME; root ROOT; }"
        ),
        BOTH,
    ),
    odd(
        "split",
        "one block for IPv4, another for IPv6",
        "server { listen 80; listen 443 ssl; server_name NAME; root ROOT; PAIR }\nserver { listen [::]:80; listen [::]:443 ssl; server_name NAME; root ROOT; PAIR }",
        BOTH,
    ),
    odd(
        "regex",
        "a regular expression among the names",
        "server { listen 80; listen [::]:80; listen 443 ssl; listen [::]:443 ssl; server_name NAME ~^(?<sub>.+)\\.NAME$; root ROOT; PAIR }",
        BOTH,
    ),
    odd(
        "wildcard",
        "a wildcard among the names, which another client's DNS proves",
        "server { listen 80; listen [::]:80; listen 443 ssl; listen [::]:443 ssl; server_name NAME; root ROOT; PAIR }\nserver { listen 80; listen [::]:80; server_name *.NAME; return 404; }",
        BOTH,
    ),
    odd(
        "forced",
        "https is forced by a block of its own",
        "server { listen 80; listen [::]:80; server_name NAME; return 301 https://$host$request_uri; }\nserver { listen 443 ssl; listen [::]:443 ssl; server_name NAME; root ROOT; PAIR }",
        BOTH,
    ),
    odd(
        "panel",
        "https is forced by an `if`, as in CloudPanel's templates",
        usual!(
            "if ($scheme != https) { rewrite ^ https://$host$request_uri permanent; } location ~ /.well-known { auth_basic off; allow all; }"
        ),
        BOTH,
    ),
    odd(
        "upkeep",
        "503 for everybody, during maintenance",
        usual!("return 503;"),
        BOTH,
    ),
    odd(
        "staff",
        "a password before everything",
        usual!("auth_basic staff; auth_basic_user_file /dev/null;"),
        BOTH,
    ),
    odd(
        "office",
        "only the office may come in",
        usual!("allow 198.51.100.0/24; deny all;"),
        BOTH,
    ),
    odd(
        "hiddenfiles",
        "a rule against hidden files",
        usual!("location ~ /\\. { deny all; }"),
        BOTH,
    ),
    odd(
        "http2",
        "HTTP/2 and HSTS",
        "server { listen 80; listen [::]:80; listen 443 ssl http2; listen [::]:443 ssl http2; server_name NAME; root ROOT; PAIR add_header Strict-Transport-Security max-age=63072000 always; }",
        BOTH,
    ),
    odd(
        "front",
        "a front controller, whose PHP is down",
        usual!(
            "index index.php; location / { try_files $uri $uri/ /index.php?$args; } location ~ \\.php$ { fastcgi_pass 127.0.0.1:9; }"
        ),
        BOTH,
    ),
    odd(
        "alias",
        "an `alias` for challenges",
        usual!("location ^~ /.well-known/acme-challenge/ { alias ROOT/; }"),
        BOTH,
    ),
    odd(
        "limited",
        "a limit on requests",
        concat!(
            "limit_req_zone $binary_remote_addr zone=odd:1m rate=50r/s;\n",
            usual!("limit_req zone=odd burst=50;")
        ),
        BOTH,
    ),
    odd(
        "geo",
        "a `geo` block that would refuse some",
        concat!(
            "geo $odd { default 0; 198.51.100.0/24 1; }\n",
            usual!("if ($odd) { return 403; }")
        ),
        BOTH,
    ),
    odd(
        "mapped",
        "a `map` on the user agent that refuses others",
        concat!(
            "map $http_user_agent $bad { default 0; ~*(semrush|ahrefs) 1; }\n",
            usual!("if ($bad) { return 403; }")
        ),
        BOTH,
    ),
    odd(
        "own",
        "an address of its own",
        "server { listen 93.184.215.9:80; listen 93.184.215.9:443 ssl; server_name NAME; root ROOT; PAIR }",
        &["A 93.184.215.9"],
    ),
    odd("four", "no AAAA record", usual!(""), &["A 93.184.215.7"]),
    odd("six", "no A record", usual!(""), &["AAAA 2a01:4f8:aa::7"]),
    odd(
        "two",
        "two addresses, both of this host",
        usual!(""),
        &["A 93.184.215.7", "A 93.184.215.8"],
    ),
    odd(
        "chained",
        "a CNAME record",
        usual!(""),
        &["CNAME four.example.net."],
    ),
    odd(
        "cdn",
        "a content delivery network in front",
        usual!(""),
        &["A 104.16.0.1"],
    ),
];

/// Those that need modules of nginx and a listener of `stream` on port 443, which tells sites apart by the name in the
/// handshake and passes them on to port 8443.
pub(crate) fn behind_stream() -> Vec<Odd> {
    vec![
        odd(
            "stream",
            "`stream` on port 443 routes by SNI",
            "server { listen 80; listen [::]:80; listen 127.0.0.1:8443 ssl; server_name NAME; root ROOT; PAIR }",
            BOTH,
        ),
        odd(
            "lua",
            "Lua decides who may come in",
            "server { listen 80; listen [::]:80; listen 127.0.0.1:8443 ssl; server_name NAME; root ROOT; PAIR access_by_lua_block { if ngx.var.http_user_agent == 'bad' then return ngx.exit(403) end } }",
            BOTH,
        ),
    ]
}

/// What stands first in nginx.conf for those.
pub(crate) const MODULES: &str = "load_module /usr/lib/nginx/modules/ndk_http_module.so;\nload_module /usr/lib/nginx/modules/ngx_http_lua_module.so;\nload_module /usr/lib/nginx/modules/ngx_stream_module.so;\n";

/// What stands last.
pub(crate) const STREAM: &str = "stream {\n    map $ssl_preread_server_name $to { default 127.0.0.1:8443; }\n    server { listen 443; listen [::]:443; ssl_preread on; proxy_pass $to; }\n}\n";

const fn odd(
    name: &'static str,
    what: &'static str,
    vhost: &'static str,
    records: &'static [&'static str],
) -> Odd {
    Odd {
        name,
        what,
        vhost,
        records,
    }
}
