// Answers DCQL queries by npm `dcql`. In: { cases: [{ query, held: [{ format, types, claims, holder_binding }] }] }.
// Out: one answer for each case: { error } where the query is refused, else { satisfied, fits: { query id: [numbers of held] }, sets }.
import { DcqlQuery } from 'dcql';
import { done, task } from './web.mjs';

const credential = ({ format, types, claims, holder_binding }) =>
  format === 'dc+sd-jwt'
    ? { credential_format: format, vct: types[0], claims, cryptographic_holder_binding: holder_binding }
    : { credential_format: format, type: types, claims, cryptographic_holder_binding: holder_binding };

function answer({ query, held }) {
  let parsed;
  try {
    parsed = DcqlQuery.parse(query);
    DcqlQuery.validate(parsed);
  } catch (error) {
    return { error: String(error?.message ?? error) };
  }
  const result = DcqlQuery.query(parsed, held.map(credential));
  const fits = {};
  for (const [id, match] of Object.entries(result.credential_matches)) {
    fits[id] = match.success ? match.valid_credentials.map((valid) => valid.input_credential_index).sort((a, b) => a - b) : [];
  }
  return {
    satisfied: result.can_be_satisfied,
    fits,
    sets: result.credential_sets?.map((set) => (set.matching_options ?? []).length > 0),
  };
}

const { cases } = await task();
done({ answers: cases.map(answer) });
