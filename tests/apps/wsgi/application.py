"""The small applications of this directory behind one callable: /NAME/... is
the function NAME of one of the files, anything else shows its environ."""
from wsgiref.validate import validator

import answers
import bodies
import environs
import files
import life
import output
import starts

APPS = {
    name: function
    for module in (answers, bodies, environs, files, life, output, starts)
    for name, function in vars(module).items()
    if getattr(function, "__module__", None) == module.__name__
}


def application(environ, start_response):
    name = environ["PATH_INFO"].lstrip("/").partition("/")[0]
    return APPS.get(name, environs.show)(environ, start_response)


validated = validator(application)
