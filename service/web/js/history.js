// Pictures that were made, kept in this browser (IndexedDB, else in memory until the page closes).

const LIMIT = 120;
let memory = [];
let turn = Promise.resolve();

function database() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open("maskserve", 1);
    request.onupgradeneeded = () => request.result.createObjectStore("pictures", { keyPath: "number", autoIncrement: true });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function store(mode, act) {
  const db = await database();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = db.transaction("pictures", mode);
      const request = act(transaction.objectStore("pictures"));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onerror = transaction.onabort = () => reject(transaction.error);
    });
  } finally {
    db.close();
  }
}

/** One after the other, whatever becomes of the one before. */
function inTurn(act) {
  turn = turn.then(act, act);
  return turn;
}

/** picture: { file: Blob, title, id, model } */
export const keep = (picture) => inTurn(async () => {
  try {
    await store("readwrite", (pictures) => pictures.add(picture));
  } catch {
    memory = [...memory, picture].slice(-LIMIT);
    return;
  }
  const keys = await store("readonly", (pictures) => pictures.getAllKeys());
  const old = keys.slice(0, Math.max(0, keys.length - LIMIT));
  if (old.length) await store("readwrite", (pictures) => pictures.delete(IDBKeyRange.upperBound(old[old.length - 1])));
});

/** Newest first. */
export const all = () => inTurn(async () => {
  try {
    return [...(await store("readonly", (pictures) => pictures.getAll())), ...memory].reverse();
  } catch {
    return [...memory].reverse();
  }
});

export const forget = () => inTurn(async () => {
  memory = [];
  try {
    await store("readwrite", (pictures) => pictures.clear());
  } catch {
    // there was none
  }
});
