// What @arcgis/core wants of Calcite's components before it draws. Their own module
// imports a style sheet, which only bundlers understand, and core.html shows none.
export const assetPathChanged = true;
export const setAssetPath = () => {};
