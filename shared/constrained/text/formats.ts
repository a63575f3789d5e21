const DAYS_31 = '(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])';
const DAYS_30 = '(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)';
const DAYS_28 = '02-(?:0[1-9]|1\\d|2[0-8])';
const LEAP_YEAR = '(?:\\d\\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)';
const DATE = `(?:\\d{4}-(?:${DAYS_31}|${DAYS_30}|${DAYS_28})|${LEAP_YEAR}-02-29)`;
const HOUR_AND_MINUTE = '(?:[01]\\d|2[0-3]):[0-5]\\d';
const TIME = `${HOUR_AND_MINUTE}:[0-5]\\d(?:\\.\\d{1,9})?(?:Z|[+-]${HOUR_AND_MINUTE})`;
const AMOUNT = '\\d{1,9}';
const DURATION_TIME = `T(?:${AMOUNT}H(?:${AMOUNT}M(?:${AMOUNT}S)?)?|${AMOUNT}M(?:${AMOUNT}S)?|${AMOUNT}S)`;
const DURATION_DATE = `(?:${AMOUNT}Y(?:${AMOUNT}M(?:${AMOUNT}D)?)?|${AMOUNT}M(?:${AMOUNT}D)?|${AMOUNT}D)`;
/** Short enough for any name that is made of them here to keep within 253 characters. */
const LABEL = '[A-Za-z0-9](?:[A-Za-z0-9-]{0,30}[A-Za-z0-9])?';
const LOCAL_PART = '[A-Za-z0-9_+-]{1,31}(?:\\.[A-Za-z0-9_+-]{1,31})?';
const BYTE = '(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)';
const GROUP = '[0-9A-Fa-f]{1,4}';
const HEXADECIMAL = '[0-9A-Fa-f]';

/** An IPv6 address with `::` behind `before` groups; at least one group is left out. */
const shortened = (before: number): string => {
  const head = before === 0 ? ':' : `(?:${GROUP}:){${before}}`;
  return before === 7 ? `${head}:` : `${head}(?:(?::${GROUP}){1,${7 - before}}|:)`;
};
const IPV6 = [`(?:${GROUP}:){7}${GROUP}`, ...[0, 1, 2, 3, 4, 5, 6, 7].map(shortened)].join('|');

/**
 * Patterns of the formats that OpenAI's structured outputs know. Every text that one matches has the format; of addresses and
 * host names they match the usual ones, not every form that the standards allow.
 */
export const FORMAT_PATTERNS: Readonly<Record<string, string>> = {
  'date-time': `^${DATE}T${TIME}$`,
  date: `^${DATE}$`,
  time: `^${TIME}$`,
  duration: `^P(?:${DURATION_DATE}(?:${DURATION_TIME})?|${DURATION_TIME}|${AMOUNT}W)$`,
  email: `^${LOCAL_PART}@(?:${LABEL}\\.){1,5}[A-Za-z]{2,24}$`,
  hostname: `^${LABEL}(?:\\.${LABEL}){0,6}$`,
  ipv4: `^(?:${BYTE}\\.){3}${BYTE}$`,
  ipv6: `^(?:${IPV6})$`,
  uuid: `^${HEXADECIMAL}{8}(?:-${HEXADECIMAL}{4}){3}-${HEXADECIMAL}{12}$`,
};
