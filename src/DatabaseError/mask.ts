/**
 * Takes secrets and row values out of messages that other programs wrote.
 */

/** URL user information and `password=..` of a connection string. */
export const maskCredentials = (message: string): string =>
  message
    .replace(/([a-z][a-z0-9+.-]*:\/\/)\S*@/gi, "$1***@")
    .replace(/\b(password|passfile|sslpassword)(\s*[=:]\s*)('(?:[^'\\]|\\.)*'|[^\s&,;]+)/gi, "$1$2***")

/**
 * Data exceptions (class 22) quote the value: `invalid input syntax for type integer: "4111 1111 .."`. Everything from the
 * first quotation mark to the last goes, in every language the server may speak, since the value may contain marks itself.
 */
export const maskValues = (sqlState: string, message: string): string =>
  sqlState.startsWith("22")
    ? message.replace(/(["'`\u00ab\u00bb\u201c\u201d\u201e])[^]*(["'`\u00ab\u00bb\u201c\u201d])/, "$1..$2")
    : message
