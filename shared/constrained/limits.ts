/** Bounds of what a schema may ask for and of what it may take to follow it. */

/** Bytes of a schema as JSON. */
export const MAX_SCHEMA_BYTES = 65_536;
/** Objects and lists inside each other in a schema, whatever they mean. */
export const MAX_SCHEMA_LEVELS = 128;
/** Schemas within schemas; where `$ref` leads the count begins anew. */
export const MAX_SCHEMA_DEPTH = 32;
/** Properties of one object. */
export const MAX_PROPERTIES = 1_000;
/** UTF-16 units of a property's name. */
export const MAX_NAME_LENGTH = 256;
/** Values of one `enum`. */
export const MAX_ENUM_VALUES = 1_000;
/** Largest `maxItems`, `minLength` and the like, and the most repetitions in a pattern. */
export const MAX_REPETITIONS = 10_000;
/** Characters of a pattern. */
export const MAX_PATTERN_LENGTH = 1_000;
/** Steps of building a grammar; it has no more nodes and edges. */
export const MAX_GRAMMAR_SIZE = 250_000;
/** Values inside each other in an answer, as far as `$ref`, arrays' items and values of any kind lead inwards. */
export const MAX_NESTING = 64;
/** Ways to read a text that are followed at once. Those beyond are given up, so an answer fits the schema all the same. */
export const MAX_READINGS = 1_024;
/** Places of a grammar that are looked at to find these ways behind one byte; what is found until then counts. */
export const MAX_CLOSURE = 4_096;
/** States that an automaton keeps, with the readings of all of them and their stacks; beyond it finds them anew. */
export const MAX_STATES = 4_096;
export const MAX_KEPT_READINGS = 262_144;
export const MAX_FRAMES = 65_536;
/** Digits of a number. JavaScript writes no more of them in any number. */
export const MAX_INTEGER_DIGITS = 21;
export const MAX_FRACTION_DIGITS = 25;
