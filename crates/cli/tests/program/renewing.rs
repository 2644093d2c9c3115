//! Is a certificate that is due renewed and served, and is nothing else touched?
