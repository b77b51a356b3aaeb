//! `#[derive(FromNode)]` for the filter's types that are read out of JSON (`filter/gate/src/config/tree.rs`).
//!
//! It reads serde's own attributes, so that serde, schemars and this say the same of a type:
//! `deny_unknown_fields`, `default` and `rename_all` (`lowercase`, `snake_case`) on types; `rename`, `default`,
//! `default = "path"` and `skip` on fields; `rename` on variants. An attribute that it does not know does not compile.
//! A field to add is a field with its type and, where it may be absent, `Option<T>` or `#[serde(default)]`.
//!
//! serde's own derive makes a visitor for each type, which is ten times the code in the module.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, Data, DeriveInput, Error, ExprPath, Fields, Ident, LitStr, Result, Token};

/// Derives `FromNode` for a struct with named fields, or for an enum whose variants have none, one or named fields.
#[proc_macro_derive(FromNode, attributes(serde))]
pub fn from_node(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = syn::parse_macro_input!(input as DeriveInput);
    derive(&input).unwrap_or_else(Error::into_compile_error).into()
}

fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let words = Words::read(&input.attrs)?;
    let body = match &input.data {
        Data::Struct(data) => {
            let (names, reads) = fields(&data.fields, &words, &quote!(node))?;
            let known = if words.deny_unknown_fields { quote!(Some(&[#(#names),*])) } else { quote!(None) };
            quote! {
                node.object(#known);
                Self { #reads }
            }
        }
        Data::Enum(data) => {
            let (mut names, mut arms) = (Vec::new(), Vec::new());
            for variant in &data.variants {
                let (own, ident) = (Words::read(&variant.attrs)?, &variant.ident);
                let name = own.name(|| words.cased(ident));
                let has_value = !matches!(variant.fields, Fields::Unit);
                names.push(quote!((#name, #has_value)));
                arms.push(match &variant.fields {
                    Fields::Unit => quote!(Self::#ident),
                    Fields::Unnamed(content) if content.unnamed.len() == 1 => {
                        quote!(Self::#ident(tree::FromNode::from_node(&content)))
                    }
                    Fields::Named(_) => {
                        let (_, reads) = fields(&variant.fields, &own, &quote!(content))?;
                        quote!({ content.object(None); Self::#ident { #reads } })
                    }
                    Fields::Unnamed(_) => return Err(Error::new_spanned(variant, "one value, or fields with names")),
                });
            }
            let Some(last) = arms.pop() else { return Err(Error::new_spanned(input, "a type without variants")) };
            let numbers = 0..arms.len();
            let content =
                if data.variants.iter().all(|one| one.fields.is_empty()) { quote!(_) } else { quote!(content) };
            quote! {
                let (which, #content) = node.variant(&[#(#names),*]);
                match which {
                    #(#numbers => #arms,)*
                    _ => #last,
                }
            }
        }
        Data::Union(_) => return Err(Error::new_spanned(input, "a struct or an enum")),
    };
    let ident = &input.ident;
    Ok(quote! {
        const _: () = {
            use crate::config::tree;
            impl tree::FromNode for #ident {
                fn from_node(node: &tree::Node<'_>) -> Self {
                    #body
                }
            }
        };
    })
}

/// The names of the fields that are read, and what reads them.
fn fields(fields: &Fields, of_all: &Words, node: &TokenStream) -> Result<(Vec<String>, TokenStream)> {
    let Fields::Named(named) = fields else { return Err(Error::new_spanned(fields, "fields need names")) };
    let (mut names, mut reads) = (Vec::new(), TokenStream::new());
    for field in &named.named {
        let (words, ident) = (Words::read(&field.attrs)?, &field.ident);
        let name = words.name(|| ident.as_ref().map(ToString::to_string).unwrap_or_default());
        reads.extend(match (&words.default, &of_all.default) {
            _ if words.skip => quote!(#ident: Default::default(),),
            (Some(Some(path)), _) => quote!(#ident: #node.or(#name, #path),),
            (Some(None), _) | (None, Some(_)) => quote!(#ident: #node.or(#name, Default::default),),
            (None, None) => quote!(#ident: #node.field(#name),),
        });
        if !words.skip {
            names.push(name);
        }
    }
    Ok((names, reads))
}

/// What serde's attributes say.
#[derive(Default)]
struct Words {
    deny_unknown_fields: bool,
    rename_all: Option<String>,
    rename: Option<String>,
    /// `default`, with the function where one is named.
    default: Option<Option<ExprPath>>,
    skip: bool,
}

impl Words {
    fn read(attributes: &[Attribute]) -> Result<Self> {
        let mut words = Self::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
            attribute.parse_nested_meta(|meta| {
                let text = || meta.value()?.parse::<LitStr>();
                if meta.path.is_ident("deny_unknown_fields") {
                    words.deny_unknown_fields = true;
                } else if meta.path.is_ident("skip") {
                    words.skip = true;
                } else if meta.path.is_ident("rename") {
                    words.rename = Some(text()?.value());
                } else if meta.path.is_ident("rename_all") {
                    let case = text()?;
                    if !matches!(case.value().as_str(), "lowercase" | "snake_case") {
                        return Err(Error::new_spanned(case, "`lowercase` or `snake_case`"));
                    }
                    words.rename_all = Some(case.value());
                } else if meta.path.is_ident("default") {
                    let path = meta.input.peek(Token![=]).then(|| text()?.parse()).transpose()?;
                    words.default = Some(path);
                } else if meta.path.is_ident("skip_serializing_if") {
                    text()?; // it says nothing about reading
                } else {
                    return Err(meta.error("`FromNode` does not know this attribute"));
                }
                Ok(())
            })?;
        }
        Ok(words)
    }

    fn name(&self, otherwise: impl FnOnce() -> String) -> String {
        self.rename.clone().unwrap_or_else(otherwise)
    }

    /// The name of a variant.
    fn cased(&self, ident: &Ident) -> String {
        let ident = ident.to_string();
        let Some(case) = &self.rename_all else { return ident };
        let mut name = String::new();
        for (at, letter) in ident.char_indices() {
            if at != 0 && letter.is_uppercase() && case == "snake_case" {
                name.push('_');
            }
            name.extend(letter.to_lowercase());
        }
        name
    }
}
