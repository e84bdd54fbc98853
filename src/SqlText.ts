/**
 * Reads SQL as PostgreSQL's own lexer does, without a server and without a syntax tree: tokens, statement boundaries, a
 * normal form for checksums, and what a text does to which tables. Nothing here throws, whatever the text.
 *
 * @since 0.1.0
 */
export {
  /**
   * @since 0.1.0
   * @category splitting
   */
  normalize,
  /**
   * @since 0.1.0
   * @category splitting
   */
  statements
} from "./SqlText/Statements.ts"
export {
  /**
   * @since 0.1.0
   * @category reading
   */
  summary,
  /**
   * @since 0.1.0
   * @category reading
   */
  tables
} from "./SqlText/Summary.ts"
export {
  /**
   * @since 0.1.0
   * @category constructors
   */
  tokenize
} from "./SqlText/Tokenizer.ts"
export type {
  /**
   * @since 0.1.0
   * @category models
   */
  Statement
} from "./SqlText/Statements.ts"
export type {
  /**
   * @since 0.1.0
   * @category models
   */
  Token,
  /**
   * @since 0.1.0
   * @category models
   */
  TokenKind
} from "./SqlText/Tokenizer.ts"
